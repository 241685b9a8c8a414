"""What the user has to know, where the eye already is: a mistake in one sentence, or why something was not begun."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.errors import UserError
from xcomposer_ui.ui.views.marks import escaped


def notice(error: UserError | None, language: str) -> str:
    """`error` as an alert that a screen reader announces; empty where there is none."""
    return "" if error is None else f'<p class="xl-notice" role="alert">{escaped(error.in_language(language))}</p>'


def unfit_notice(sentences: Sequence[str]) -> str:
    """`sentences` as an alert about what does not fit, a paragraph each."""
    said = "".join(f"<p>{escaped(sentence)}</p>" for sentence in sentences)
    return f'<div class="xl-notice xl-tight" role="alert">{said}</div>'
