"""The models offered, as a table: size on disk, memory under each kind of strategy, whether it fits, and its state."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.core.events import Loading, Status, Waiting
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import UNKNOWN, joined, memory
from xcomposer_ui.planning.catalogue import TEXT_TOKENS, Entry
from xcomposer_ui.ui.views.head import short_name
from xcomposer_ui.ui.views.marks import dtype_chip, escaped
from xcomposer_ui.ui.views.run_status import loading_label

COLUMNS = ("name", "disk", "half", "full", "fits", "state")


def models_table(entries: Sequence[Entry], status: Status, budget_bytes: int | None, language: str) -> str:
    """`entries` a row each. room_bytes: memory that a run may take here, None where it is not known yet."""
    label = escaped(text("models", language))
    heads = "".join(f'<th scope="col">{escaped(text(f"models.{name}", language))}</th>' for name in COLUMNS)
    rows = "".join(_row(entry, status, budget_bytes, language) for entry in entries)
    notes = text("models.note", language, tokens=TEXT_TOKENS)
    if len(entries) == 1:
        notes += " " + text("models.one", language)
    return (
        f'<section class="xl-models"><div class="xl-scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="xl-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="xl-quiet">{escaped(notes)}</p></section>'
    )


def loading_view(stage: Waiting | Loading | None, ready: str | None, language: str) -> str:
    """What a choice led to so far: a wait, a download or a loading with its share, or that `ready` is in memory."""
    if stage is None and ready is None:
        return ""
    if stage is None:
        said = escaped(text("models.ready", language, model=ready))
        return f'<div class="xl-happened" aria-live="polite"><p class="xl-quiet">{said}</p></div>'
    label, fraction = text("happened.waiting", language), None
    if isinstance(stage, Loading):
        label, fraction = loading_label(stage, language), stage.fraction
    value = "" if fraction is None else f' value="{fraction:.2f}"'
    share = "" if fraction is None else f" {fraction:.0%}"
    said = escaped(label)
    return (
        f'<div class="xl-happened" aria-live="polite"><p class="xl-stage">{said}{share}</p>'
        f'<progress max="1"{value} aria-label="{said}"></progress></div>'
    )


def _row(entry: Entry, status: Status, budget_bytes: int | None, language: str) -> str:
    needed = [joined(memory(entry.needed_bytes(STRATEGIES[name]))) for name in ("unified", "full")]
    figures = "".join(
        f'<td class="xl-number">{escaped(figure)}</td>' for figure in (joined(memory(entry.disk_bytes)), *needed)
    )
    return (
        f'<tr data-model="{escaped(entry.name)}"><td class="xl-name" title="{escaped(entry.name)}">'
        f"{escaped(short_name(entry.name))}</td>{figures}"
        f"<td>{escaped(_fits(entry, budget_bytes, language))}</td><td>{_state(entry, status, language)}</td></tr>"
    )


def _fits(entry: Entry, budget_bytes: int | None, language: str) -> str:
    fitting = entry.fitting(budget_bytes)
    if fitting is None:
        return UNKNOWN
    kind = "all" if len(fitting) == len(STRATEGIES) else "half" if fitting else "none"
    return text(f"models.fits.{kind}", language)


def _state(entry: Entry, status: Status, language: str) -> str:
    held = [dtype for model, dtype in status.loaded if model == entry.name]
    if held:
        return f"{escaped(text('models.loaded', language))} {' '.join(dtype_chip(dtype) for dtype in held)}"
    return escaped(text("models.here" if entry.here else "models.away", language))
