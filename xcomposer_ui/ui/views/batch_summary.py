"""The summary of a batch: how often each variant agrees with full precision, and the distributions of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.compare.summary import summarize
from xcomposer_ui.compare.verdict import variant_name
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.metrics import Metric, metric_of, metrics
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.core.units import UNKNOWN
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.charts import Box, boxes

CHARTS = {
    "latency_sec": "compare.batch.chart.latency",
    "max_abs_logit_difference": "compare.batch.chart.logit",
}
"""The metrics whose distributions are drawn -> the text code of the title."""


def name_of(variant: Variant, language: str) -> str:
    """A variant's name with a capital first letter."""
    name = variant_name(variant, language)
    return name[:1].upper() + name[1:] if name.startswith(("full", "unified")) else name


def batch_summary(documents: Sequence[Mapping[str, Any]], total: int, language: str) -> Markup:
    """The agreement and the distributions over `documents`, of `total` questions in all."""
    entries = [(Variant(entry["strategy"], entry["half"]), entry) for entry in summarize(documents)]
    columns = [*metrics("summary", "divergence"), *metrics("summary")]
    heads = [text(f"compare.{name}", language) for name in ("variant", "weights", "batch.answered", "batch.rate")]
    return render(
        "batch_summary",
        language,
        done=len(documents),
        total=total,
        heads=heads + [text(metric.summary, language) for metric in columns],
        rows=[_row(variant, entry, columns, language) for variant, entry in entries],
        charts=[_chart(metric_of(field), entries, language) for field in CHARTS],
    )


def _row(variant: Variant, entry: Mapping[str, Any], columns: Sequence[Metric], language: str) -> dict[str, Any]:
    rate, distributions = entry["agreement_rate"], entry["distributions"]
    agreed = UNKNOWN if rate is None else f"{rate:.0%} ({entry['agreed']} / {entry['compared']})"
    cells = [
        f"{entry['answered']} / {entry['questions']}",
        text("compare.reference", language) if variant.strategy == REFERENCE else agreed,
        *(metric.summary_of(distributions[metric.field]) for metric in columns),
    ]
    return {"name": name_of(variant, language), "dtype": variant.weights_dtype, "cells": cells}


def _chart(metric: Metric, entries: Sequence[tuple[Variant, Any]], language: str) -> Markup:
    """The distribution of `metric` over the questions, for the variants that have it; "" where none has."""
    drawn = [
        Box(name_of(variant, language), variant.weights_dtype, metric.shown(spread["median"]), spread)
        for variant, entry in entries
        if (spread := entry["distributions"][metric.field])
    ]
    return boxes(text(CHARTS[metric.field], language), drawn) if drawn else Markup()
