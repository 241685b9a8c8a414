"""The failure card: the exact message, where it arose, what met there, why, and what cures it."""

from __future__ import annotations

from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.core.result import Failure, Operand
from xcomposer_ui.ui.views.explanation import cause_and_fixes
from xcomposer_ui.ui.views.marks import clashing, dtype_chip, escaped


def failure_card(failure: Failure, language: str, strategy: str | None = None) -> str:
    """`failure`, of a run under `strategy`, as a card; the message stands whole, as it was worded, to be copied."""
    title = worded(failure.explanation.title, language)
    return (
        f'<section class="xl-card xl-failure" aria-label="{escaped(text("failure", language))}">'
        f"<h3>{escaped(title)}</h3>{_message(failure, language)}{_path(failure, language)}"
        f"{_place(failure, language)}{_operands(failure.operands, language)}"
        f"{cause_and_fixes(failure.explanation, language, strategy)}</section>"
    )


def _message(failure: Failure, language: str) -> str:
    copy, copied = escaped(text("copy", language)), escaped(text("copied", language))
    return (
        f'<div class="xl-message"><pre tabindex="0" aria-label="{escaped(text("failure.message", language))}">'
        f"{escaped(worded(failure.message, language))}</pre>"
        f'<button type="button" data-copy data-copied="{copied}">{copy}</button></div>'
    )


def _path(failure: Failure, language: str) -> str:
    met = tuple(dict.fromkeys(operand.dtype for operand in failure.operands)) or failure.explanation.dtypes
    return f'<p class="xl-path">{clashing(met, language)}</p>' if len(met) == 2 else ""


def _place(failure: Failure, language: str) -> str:
    facts = (("type", failure.type), ("module", failure.module), ("operation", failure.operation))
    unseen = f"<i>{escaped(text('failure.unseen', language))}</i>"
    rows = "".join(
        f"<div><dt>{escaped(text(f'failure.{name}', language))}</dt>"
        f"<dd>{f'<code>{escaped(value)}</code>' if value else unseen}</dd></div>"
        for name, value in facts
    )
    return f'<dl class="xl-facts">{rows}</dl>'


def _operands(operands: tuple[Operand, ...], language: str) -> str:
    if not operands:
        return ""
    label = escaped(text("failure.operands", language))
    heads = "".join(
        f'<th scope="col">{escaped(text(f"operand.{name}", language))}</th>'
        for name in ("name", "dtype", "shape", "origin")
    )
    rows = "".join(_operand(operand, language) for operand in operands)
    return (
        f'<h4>{label}</h4><div class="xl-scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="xl-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _operand(operand: Operand, language: str) -> str:
    shape = " × ".join(str(size) for size in operand.shape) or "—"
    origin = worded(operand.origin, language)
    return (
        f"<tr><td><code>{escaped(worded(operand.name, language))}</code></td><td>{dtype_chip(operand.dtype)}</td>"
        f'<td class="xl-number">{shape}</td><td>{escaped(origin)}</td></tr>'
    )
