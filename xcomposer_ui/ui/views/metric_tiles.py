"""The tiles above the conversation: latency, first token, tokens per second, peak memory."""

from __future__ import annotations

from markupsafe import Markup

from xcomposer_ui.core.messages import sentences
from xcomposer_ui.core.metrics import metrics
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.ui.html import render


def metric_tiles(measurement: Measurement | None, language: str) -> Markup:
    """`measurement` as tiles of one fixed size; a dash, never a zero, for what was not measured."""
    record = vars(measurement or Measurement())
    tiles = []
    for metric in metrics("tiles"):
        kind = f"{metric.label}.kind"
        if metric.field == "peak_memory_bytes":
            kind = f"memory.{record['peak_memory_kind'] or 'none'}"
        share = record["bandwidth_share"] if metric.field == "tokens_per_sec" else None
        if share is not None:
            kind = "metric.rate.share"
        value, details = metric.value(record), f"{kind}.more"
        tiles.append({
            "metric": metric,
            "figure": None if value is None else metric.figure(value),
            "kind": kind,
            "share": None if share is None else f"{share:.0%}",
            "details": details if details in sentences(language) else None,
        })  # fmt: skip
    return render("metric_tiles", language, tiles=tiles)
