"""Many questions on the page: how often each variant agrees with full precision, and how its figures spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.compare.summary import summarize
from xcomposer_ui.compare.verdict import variant_name
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.core.units import UNKNOWN, joined, memory, seconds, significant
from xcomposer_ui.ui.views.charts import Box, boxes
from xcomposer_ui.ui.views.marks import dtype_chip, escaped

COLUMNS = ("variant", "weights", "many.answered", "many.rate", "many.kl", "many.memory")


def name_of(variant: Variant, language: str) -> str:
    """A variant's name, the first letter as at the start of a line."""
    name = variant_name(variant, language)
    return name[:1].upper() + name[1:] if name.startswith(("full", "unified")) else name


def batch_summary(documents: Sequence[Mapping[str, Any]], total: int, language: str) -> str:
    """The tally of `documents`, of `total` that were asked for, and how the figures are distributed."""
    heads = "".join(f'<th scope="col">{escaped(text(f"compare.{name}", language))}</th>' for name in COLUMNS)
    entries = [(Variant(entry["strategy"], entry["half"]), entry) for entry in summarize(documents)]
    rows = "".join(_row(variant, entry, language) for variant, entry in entries)
    title = escaped(text("compare.many", language))
    charts = "".join(
        _chart(key, field, said, entries, language)
        for key, field, said in (
            ("compare.many.chart.latency", "latency_sec", lambda value: joined(seconds(value))),
            ("compare.many.chart.logit", "max_abs_logit_difference", significant),
        )
    )
    return (
        f'<section class="xl-runs" id="compare-many"><header><h3>{title}</h3>'
        f"<span>{len(documents)} / {total}</span></header>"
        f'<div class="xl-scroll" role="region" tabindex="0" aria-label="{title}"><table class="xl-table">'
        f'<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section><div class="xl-charts">{charts}'
        "</div>"
    )


def _row(variant: Variant, entry: Mapping[str, Any], language: str) -> str:
    rate, figures = entry["agreement_rate"], entry["distributions"]
    kl, peak = figures["mean_kl_divergence"], figures["peak_memory_bytes"]
    agreed = UNKNOWN if rate is None else f"{rate:.0%} ({entry['agreed']} / {entry['compared']})"
    cells = (
        f"{entry['answered']} / {entry['questions']}",
        text("compare.itself", language) if variant.strategy == REFERENCE else agreed,
        UNKNOWN if kl is None else f"{kl['median']:.2e} ({kl['lowest']:.1e} – {kl['highest']:.1e})",
        UNKNOWN if peak is None else joined(memory(round(peak["median"]))),
    )
    numbers = "".join(f'<td class="xl-number">{escaped(cell)}</td>' for cell in cells)
    name = escaped(name_of(variant, language))
    return f'<tr><td class="xl-name">{name}</td><td>{dtype_chip(variant.weights_dtype)}</td>{numbers}</tr>'


def _chart(
    key: str, field: str, said: Callable[[float], str], entries: Sequence[tuple[Variant, Any]], language: str
) -> str:
    """How `field` is distributed over the questions, for the variants that have it; nothing where none has."""
    found = [(variant, spread) for variant, entry in entries if (spread := entry["distributions"][field])]
    drawn = [Box(name_of(v, language), v.weights_dtype, said(spread["median"]), spread) for v, spread in found]
    return boxes(text(key, language), drawn) if drawn else ""
