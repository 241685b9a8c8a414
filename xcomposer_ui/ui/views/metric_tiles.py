"""The four tiles: latency, first token, tokens per second, peak memory, each with unit and kind."""

from __future__ import annotations

from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.units import UNKNOWN, memory, rate, seconds
from xcomposer_ui.ui.views.marks import escaped


def metric_tiles(measurement: Measurement | None, language: str) -> str:
    """`measurement` as four tiles of one fixed size; a dash, never a zero, for what was not measured."""
    m = measurement or Measurement()
    memory_kind = f"memory.{m.peak_memory_kind}" if m.peak_memory_kind else "memory.none"
    parts = (
        _tile("latency", seconds(m.latency_sec), "tile.latency.kind", language),
        _tile("first", seconds(m.time_to_first_token_sec), "tile.first.kind", language),
        _tile("rate", rate(m.tokens_per_sec), "tile.rate.kind", language),
        _tile("memory", memory(m.peak_memory_bytes), memory_kind, language),
    )
    label = escaped(text("tiles", language))
    return f'<dl class="xl-tiles" aria-label="{label}">{"".join(parts)}</dl>'


def _tile(name: str, figure: tuple[str, str], kind: str, language: str) -> str:
    value, unit = figure
    more = f' title="{escaped(text(f"{kind}.more", language))}"' if f"{kind}.more" in sentences(language) else ""
    shown = f"<b>{escaped(value)}</b><span>{escaped(unit)}</span>"
    if value == UNKNOWN:
        missing = escaped(text("not_measured", language))
        shown = f'<b aria-hidden="true">{UNKNOWN}</b><span class="xl-said">{missing}</span>'
    return (
        f'<div class="xl-tile" data-tile="{name}"{more}><dt>{escaped(text(f"tile.{name}", language))}</dt>'
        f'<dd class="xl-figure">{shown}</dd><dd class="xl-kind">{escaped(text(kind, language))}</dd></div>'
    )
