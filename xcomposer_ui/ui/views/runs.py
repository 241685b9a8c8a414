"""The figures of runs: the last one's as tiles, and all of them as a table and as CSV."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.report import as_csv
from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.metrics import metrics
from xcomposer_ui.core.request import OPTIONAL_SETTINGS
from xcomposer_ui.core.result import Measurement, result_as_json
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.session import SessionRun
from xcomposer_ui.ui.views.downloads import data_url


def runs_table(runs: tuple[SessionRun, ...], language: str) -> Markup:
    """`runs`, the newest on top, with a link that downloads them as CSV."""
    rows = [_row(number, run, language) for number, run in enumerate(runs, 1)]
    heads = ("#", *(text(f"runs.{name}", language) for name in ("question", "strategy", "weights", "answer")),
             *(text(metric.label, language) for metric in metrics("runs")))  # fmt: skip
    return render("runs", language, heads=heads, rows=rows[::-1], csv=data_url("csv", runs_csv(runs)))


def runs_csv(runs: tuple[SessionRun, ...]) -> str:
    """`runs` as CSV, oldest first: seconds and bytes as plain numbers, an empty cell for what was not measured."""
    fields = (
        "run", "question", "strategy", "half", "model", "device", "weights_dtype", "answer", "failure", "stopped",
        *(metric.field for metric in metrics("runs.csv")), "seed", *OPTIONAL_SETTINGS,
    )  # fmt: skip
    return as_csv(fields, (_csv_row(number, run) for number, run in enumerate(runs, 1)))


def _csv_row(number: int, run: SessionRun) -> dict[str, Any]:
    record = result_as_json(run.result)
    figures = {metric.field: metric.value(record) for metric in metrics("runs.csv")}
    failure = run.result.failure.line() if run.result.failure else None
    return {**record, **figures, "run": number, "question": run.request.text, "failure": failure}


def _row(number: int, run: SessionRun, language: str) -> tuple[int, SessionRun, str, list[str]]:
    """(number, run, its answer or what stands for it, figures)."""
    result = run.result
    answer = result.answer or ""
    if result.failure is not None:
        answer = result.failure.line(language)
    elif result.stopped:
        answer = f"{answer} ({text('runs.stopped', language)})".strip()
    return number, run, answer, [metric.of(vars(result.measurement), language) for metric in metrics("runs")]


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
