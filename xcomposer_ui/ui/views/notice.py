"""The user's own mistake, in one sentence, where the eye already is."""

from __future__ import annotations

from xcomposer_ui.errors import UserError
from xcomposer_ui.ui.views.marks import escaped


def notice(error: UserError | None, language: str) -> str:
    """`error` as an alert that a screen reader announces; empty where there is none."""
    return "" if error is None else f'<p class="xl-notice" role="alert">{escaped(error.in_language(language))}</p>'
