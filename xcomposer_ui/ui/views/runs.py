"""The runs so far: a table to compare by eye, and the same as CSV."""

from __future__ import annotations

import base64
import csv
import io

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.result import result_as_json
from xcomposer_ui.core.units import joined, memory, rate, seconds
from xcomposer_ui.ui.session import SessionRun
from xcomposer_ui.ui.views.explanation import strategy_label
from xcomposer_ui.ui.views.marks import dtype_chip, escaped

COLUMNS = ("question", "strategy", "weights", "answer", "latency", "first", "rate", "memory")
CSV_FIELDS = (
    "run", "question", "strategy", "half", "model", "device", "weights_dtype", "answer", "failure", "stopped",
    "new_tokens", "prompt_tokens", "load_sec", "latency_sec", "time_to_first_token_sec", "tokens_per_sec",
    "peak_memory_bytes", "peak_memory_kind", "reused_tokens", "reused_picture", "seed", "hd_num",
)  # fmt: skip


def runs_table(runs: tuple[SessionRun, ...], language: str) -> str:
    """`runs`, the newest on top, with a link that downloads them as CSV."""
    title = escaped(text("runs", language))
    if not runs:
        return (
            f'<section class="xl-runs"><h3>{title}</h3><p class="xl-quiet">{text("runs.none", language)}</p></section>'
        )
    heads = "".join(f'<th scope="col">{escaped(text(f"runs.{name}", language))}</th>' for name in COLUMNS)
    rows = "".join(_row(number, run, language) for number, run in reversed(list(enumerate(runs, 1))))
    return (
        f'<section class="xl-runs"><header><h3>{title}</h3>{_download(runs, language)}</header>'
        f'<div class="xl-scroll" role="region" tabindex="0" aria-label="{title}"><table class="xl-table">'
        f'<thead><tr><th scope="col">#</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def runs_csv(runs: tuple[SessionRun, ...]) -> str:
    """`runs` as CSV, oldest first: seconds and bytes as plain numbers, an empty cell for what was not measured.

    Cells that a spreadsheet would take for a formula begin with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_FIELDS, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for number, run in enumerate(runs, 1):
        failure = run.result.failure
        row = result_as_json(run.result) | {"run": number, "question": run.request.text}
        row["failure"] = failure.line() if failure else None
        writer.writerow({field: _cell(row[field]) for field in CSV_FIELDS})
    return out.getvalue()


def _cell(value: object) -> object:
    # Numbers of ours may be negative; only text can carry a formula.
    if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def _download(runs: tuple[SessionRun, ...], language: str) -> str:
    # The file travels inside the page: nothing of a visitor's is left on the server. A spreadsheet needs the mark
    # at the start to read it as UTF-8.
    data = base64.b64encode(("\ufeff" + runs_csv(runs)).encode()).decode()
    label = escaped(text("runs.csv", language))
    return f'<a class="xl-download" download="runs.csv" href="data:text/csv;charset=utf-8;base64,{data}">{label}</a>'


def _row(number: int, run: SessionRun, language: str) -> str:
    result, m = run.result, run.result.measurement
    figures = (
        joined(seconds(m.latency_sec)),
        joined(seconds(m.time_to_first_token_sec)),
        joined(rate(m.tokens_per_sec)),
        joined(memory(m.peak_memory_bytes)),
    )
    numbers = "".join(f'<td class="xl-number">{escaped(figure)}</td>' for figure in figures)
    return (
        f'<tr><td class="xl-number">{number}</td>{_long(run.request.text)}'
        f'<td class="xl-name">{escaped(strategy_label(result.strategy, language))}</td>'
        f"<td>{dtype_chip(result.weights_dtype)}"
        f"<small>{escaped(result.device)}</small></td>"
        f"{_outcome(run, language)}{numbers}</tr>"
    )


def _long(value: str, kind: str = "") -> str:
    return f'<td class="xl-long {kind}" title="{escaped(value)}"><span>{escaped(value)}</span></td>'


def _outcome(run: SessionRun, language: str) -> str:
    result = run.result
    if result.failure is not None:
        return _long(result.failure.line(language), "xl-failed")
    if result.stopped:
        return _long(f"{result.answer or ''} ({text('runs.stopped', language)})".strip())
    return _long(result.answer or "")
