"""A comparison's document as flat rows, and rows as CSV that a spreadsheet reads safely."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

RUN_FIELDS = (
    "strategy", "half", "model", "device", "weights_dtype", "answer", "same_as_full", "repeats", "new_tokens",
    "prompt_tokens", "load_sec", "latency_sec", "time_to_first_token_sec", "tokens_per_sec", "peak_memory_bytes",
    "peak_memory_kind", "weights_bytes", "weights_share", "seed", "hd_num", "stopped",
)  # fmt: skip
DIVERGENCE_FIELDS = (
    "max_abs_logit_difference", "mean_kl_divergence", "top1_agreement", "first_different_token",
    "largest_activation_share", "largest_activation_module", "non_finite_positions", "first_non_finite_module",
)  # fmt: skip
FIELDS = (*RUN_FIELDS, "latency_lowest_sec", "latency_highest_sec", "failure", *DIVERGENCE_FIELDS)


def rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a run, with its divergence beside it; None for what was not measured."""
    found = {(d.get("strategy"), d.get("half")): d for d in document.get("divergence") or ()}
    return [_row(run, found.get((run.get("strategy"), run.get("half")), {})) for run in document["runs"]]


def as_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]], *, heading: bool = True) -> str:
    """`rows` as CSV: seconds and bytes as plain numbers, an empty cell for None.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\r\n")
    if heading:
        writer.writeheader()
    for row in rows:
        writer.writerow({field: _cell(row.get(field)) for field in fields})
    return out.getvalue()


def _row(run: Mapping[str, Any], divergence: Mapping[str, Any]) -> dict[str, Any]:
    lowest, highest = (run.get("spread") or {}).get("latency_sec") or (None, None)
    failure = run.get("failure")
    return {
        **{field: run.get(field) for field in RUN_FIELDS},
        "latency_lowest_sec": lowest,
        "latency_highest_sec": highest,
        "failure": f"{failure['type']}: {failure['message']}" if failure else None,
        **{field: divergence.get(field) for field in DIVERGENCE_FIELDS},
    }


def _cell(value: object) -> object:
    # Numbers of ours may be negative; only text can carry a formula.
    if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value
