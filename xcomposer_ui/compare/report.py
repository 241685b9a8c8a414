"""A run's or a comparison's document as a file: Markdown, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xcomposer_ui.compare.script import script
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.metrics import Metric, metrics
from xcomposer_ui.core.request import OPTIONAL_SETTINGS, Request, settings_of
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import UNKNOWN

CONTEXT = ("question", "environment")
"""The entries of a run's JSON that are not its own fields."""


def as_document(found: object) -> dict[str, Any]:
    """`found`, the JSON of `compare` or `run`, in the form of a comparison. Raises UserError where it is neither."""
    document = found
    if isinstance(found, dict) and "strategy" in found:
        context = {name: found[name] for name in CONTEXT if name in found}
        run = {name: value for name, value in found.items() if name not in CONTEXT}
        document = {"runs": [run], **context}
    if not isinstance(document, dict) or not _is_complete(document.get("runs"), document.get("question")):
        raise UserError("no_report")
    return document


def _is_complete(runs: object, question: object) -> bool:
    """Whether there are runs, and the question's text, which repeating them needs."""
    known = isinstance(question, dict) and isinstance(question.get("text"), str)
    if not known or not isinstance(runs, list):
        return False
    return bool(runs) and all(isinstance(run, dict) and "strategy" in run for run in runs)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole report: question, settings, figures with units, answers, failures, divergence, versions, script."""
    parts = [
        "# XComposer precision lab: report",
        (document.get("verdict") or {}).get("en", ""),
        document.get("host_bound") or "",
        "The comparison was stopped before everything was measured." if document.get("stopped") else "",
        _question(document.get("question")),
        _figures(document),
        _answers(document),
        _failures(document),
        _divergence(document),
        environment_section(document.get("environment")),
        f"## Repeat it\n\n{fenced(script(document), 'python')}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(document: Mapping[str, Any]) -> str:
    """The document itself, for programs and for the `report` command."""
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_table(document: Mapping[str, Any]) -> str:
    """The document as CSV, one row per run."""
    return as_csv(csv_fields(), csv_rows(document))


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "md": markdown,
    "json": as_json,
    "csv": as_table,
    "py": script,
}
"""Name of a format, which is also its file extension -> the function that writes a document in it."""


def csv_fields() -> tuple[str, ...]:
    return (
        "strategy", "half", "model", "device", "weights_dtype", "answer", "same_as_full", "repeats",
        *(metric.field for metric in metrics("csv")), "seed", *OPTIONAL_SETTINGS, "stopped",
        *(name for metric in metrics("csv") if metric.spread for name in metric.spread_fields()), "failure",
        *(metric.field for metric in metrics("csv", "divergence")),
    )  # fmt: skip


def csv_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per run, with its divergence; None for what was not measured."""
    entries = {(d.get("strategy"), d.get("half")): d for d in document.get("divergence") or ()}
    return [_csv_row(run, entries.get((run.get("strategy"), run.get("half")), {})) for run in document["runs"]]


def _csv_row(run: Mapping[str, Any], divergence: Mapping[str, Any]) -> dict[str, Any]:
    row = {**run, "half": _dtype(run), "failure": failure_line(run.get("failure"))}
    for metric in metrics("csv"):
        row[metric.field] = metric.value(run)
        if metric.spread:
            row |= zip(metric.spread_fields(), _spread(metric, run), strict=True)
    return row | {metric.field: metric.value(divergence) for metric in metrics("csv", "divergence")}


def failure_line(failure: Mapping[str, Any] | None) -> str | None:
    """A failure's type and message; None where there is no failure."""
    return f"{failure['type']}: {failure['message']}" if failure else None


def as_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]], *, heading: bool = True) -> str:
    """`rows` as CSV: seconds and bytes as plain numbers, an empty cell for None.

    Text that a spreadsheet would read as a formula is prefixed with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\r\n")
    if heading:
        writer.writeheader()
    for row in rows:
        writer.writerow({field: _csv_cell(row.get(field)) for field in fields})
    return out.getvalue()


def _csv_cell(value: object) -> object:
    # A measured number may be negative; only text can be a formula.
    if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def _question(question: Mapping[str, Any] | None) -> str:
    if question is None:
        return ""
    image = question.get("image")
    lines = ["## Question", "", fenced(str(question["text"]))]
    if image:
        lines += ["", f"- picture: {image['width']} × {image['height']} pixels, SHA-256 {_hashes(image)}"]
        if "png_base64" in image:
            lines += ["", f"![the picture](data:image/png;base64,{image['png_base64']})"]
    else:
        lines += ["", "- no picture: text alone"]
    for setting in settings_of(Request):
        value = question.get(setting.name, None if setting.default is None else UNKNOWN)
        if value is not None:
            lines.append(f"- {setting.name}: {value}{', the most tiles of the picture' if setting.only_tiled else ''}")
    for asked, answered in question.get("history") or ():
        lines.append(f"- earlier: {inline(asked)} → {inline(answered)}")
    return "\n".join(lines)


def _hashes(image: Mapping[str, Any]) -> str:
    pixels = f"{image['pixels_sha256']} (of the RGB values)"
    return f"{image['file_sha256']} (of the file), {pixels}" if image.get("file_sha256") else pixels


def _figures(document: Mapping[str, Any]) -> str:
    runs = document["runs"]
    heads = ["strategy", "weights"]
    columns = [[variant(run) for run in runs], [run.get("weights_dtype") for run in runs]]
    for metric in metrics("markdown"):
        heads.append(metric.heading)
        columns.append([metric.cell_of(run) for run in runs])
        if metric.spread:
            heads.append(f"lowest–highest {metric.heading.split()[-1]}")
            columns.append([_range(metric, run) for run in runs])
    heads.append("like full precision")
    columns.append([{True: "yes", False: "no"}.get(run.get("same_as_full"), UNKNOWN) for run in runs])
    counts = [run.get("repeats", 1) for run in runs if not run.get("failure")] or [1]  # a failure is not repeated
    fewest, most = min(counts), max(counts)
    medians = f"; medians of {most if fewest == most else f'{fewest} to {most}'} repeats" if most > 1 else ""
    kinds = {run.get("peak_memory_kind") for run in runs} - {None}
    return (
        f"## Figures\n\n{runs[0].get('model')} on {runs[0].get('device')}{medians}. "
        f"Memory: {', '.join(sorted(kinds)) or UNKNOWN}.\n\n{table(heads, zip(*columns, strict=True))}"
    )


def _answers(document: Mapping[str, Any]) -> str:
    answered = [run for run in document["runs"] if run.get("answer") is not None]
    blocks = [f"**{variant(run)}**\n\n{fenced(run['answer'])}" for run in answered]
    return "## Answers\n\n" + "\n\n".join(blocks) if blocks else ""


def _failures(document: Mapping[str, Any]) -> str:
    blocks = []
    for run in document["runs"]:
        failure = run.get("failure")
        if failure:
            where = f"\n\nat `{inline(failure['module'])}` ({failure['operation']})" if failure.get("module") else ""
            blocks.append(
                f"**{variant(run)}**\n\n{fenced(failure_line(failure) or '')}"
                f"{where}\n\n{inline((failure.get('explanation') or {}).get('cause', ''))}"
            )
    return "## Failures\n\n" + "\n\n".join(blocks) if blocks else ""


def _divergence(document: Mapping[str, Any]) -> str:
    entries = [(variant(entry), entry) for entry in document.get("divergence") or ()]
    if not entries:
        return ""
    if document.get("floor"):
        entries.append(("float32 against float64 (the floor)", document["floor"]))
    shown = metrics("markdown", "divergence")
    heads = ("against full precision", *(metric.heading for metric in shown))
    rows = ((name, *(metric.cell_of(entry) for metric in shown)) for name, entry in entries)
    forced = "By teacher forcing full precision's own tokens; tokens are counted from 1, in free running."
    return f"## Divergence\n\n{forced}\n\n{table(heads, rows)}"


def environment_section(environment: Mapping[str, Any] | None) -> str:
    """The report's section on versions and hardware; empty where they are not known."""
    if not environment:
        return ""
    return "## Environment\n\n" + "\n".join(
        f"- {k}: {UNKNOWN if v is None else inline(v)}" for k, v in environment.items()
    )


def variant(entry: Mapping[str, Any]) -> str:
    """The strategy and the dtype of a run or a divergence: "autocast (float16)", "full (float32)"."""
    return f"{entry['strategy']} ({_dtype(entry)})"


def _dtype(entry: Mapping[str, Any]) -> str | None:
    strategy, half = STRATEGIES.get(entry["strategy"]), entry.get("half")
    return half if strategy is None or half is None else strategy.dtype(half)


def _spread(metric: Metric, run: Mapping[str, Any]) -> tuple[float | None, float | None]:
    lowest, highest = (run.get("spread") or {}).get(metric.field) or (None, None)
    return lowest, highest


def _range(metric: Metric, run: Mapping[str, Any]) -> str:
    lowest, highest = _spread(metric, run)
    return UNKNOWN if lowest is None or highest is None else f"{metric.cell(lowest)}–{metric.cell(highest)}"


def table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join("| " + " | ".join(inline(cell) for cell in line) + " |" for line in lines)


def inline(value: object) -> str:
    """`value` on one line, with pipes and angle brackets escaped."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any fence in `text`."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
