"""A fine-tuning as a document, Markdown, CSV and a script."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from tests.finetuning.scripted import finished, result_of
from xcomposer_ui.finetuning.report import FORMATS, as_table, document_of, markdown
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.finetuning.script import script

NAMES = ("float32", "autocast_float16", "bfloat16", "float16_scaled")
FOUND = Finetuning(FinetuningRequest(recipes=NAMES, steps=2), "cpu", tuple(map(result_of, NAMES)), "finished")

FIELDS = {
    "recipe", "final_loss", "accuracy_before", "accuracy_after", "losses", "gradient_underflow", "swallowed_updates",
    "loss_scale", "skipped_steps", "step_sec", "peak_memory_bytes", "peak_memory_kind", "memory", "predicted_memory",
    "failure",
}  # fmt: skip


def test_the_document_has_the_fields_that_scripts_rely_on() -> None:
    document = document_of(FOUND)
    assert json.loads(FORMATS["json"](document)) == json.loads(json.dumps(document))
    for entry in document["recipes"]:
        assert entry.keys() >= FIELDS
    plain, scaled, narrow, failed = document["recipes"]
    assert plain["memory"] == {"weights": 8 << 20, "gradients": 5 << 20, "optimizer": 10 << 20, "activations": 21 << 20}
    assert plain["predicted_memory"]["peak"] == 41 << 20
    assert (plain["loss_scale"], plain["skipped_steps"]) == (None, None)
    assert (scaled["loss_scale"], scaled["skipped_steps"]) == (65536.0, 0)
    assert narrow["final_loss"] == pytest.approx(2.01)
    assert failed["failure"]["message"] == "Attempting to unscale FP16 gradients."
    assert failed["memory"] is None


def test_the_markdown_has_figures_verdicts_failures_and_the_script() -> None:
    report = markdown(document_of(FOUND))
    for part in ("## Settings", "| autocast_float16 |", "Learned as well as float32", "unscale FP16", "```python"):
        assert part in report


def test_the_csv_has_a_row_for_each_step() -> None:
    rows = list(csv.DictReader(io.StringIO(as_table(document_of(FOUND)))))
    assert [(row["recipe"], row["step"]) for row in rows] == [
        *((name, step) for name in NAMES[:3] for step in ("1", "2")),
        ("float16_scaled", ""),
    ]
    assert rows[0]["loss"] == "4.0"
    assert rows[-1]["failure"] == "ValueError: Attempting to unscale FP16 gradients."


@pytest.mark.slow
def test_the_script_repeats_the_losses() -> None:
    from xcomposer_ui.backends.finetuning.execution import finetuning_steps

    request = FinetuningRequest(recipes=("bfloat16_master", "float16_scaled"), steps=2, batch=1)
    *_, found = finetuning_steps(request, "cpu")
    done = subprocess.run(
        [sys.executable, "-c", script(document_of(found))], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    losses = ", ".join(f"{loss:.6g}" for loss in found.recipes[0].losses)
    assert first == f"bfloat16_master: losses {losses}; right afterwards {found.recipes[0].accuracy_after:.0%}"
    assert second == "float16_scaled: ValueError: Attempting to unscale FP16 gradients."


def test_values_in_the_script_are_literals() -> None:
    document = document_of(Finetuning(FinetuningRequest(), "cpu", (finished("float32"),)))
    document["settings"]["kind"] = "'); import os; ('"
    compiled = script(document)
    compile(compiled, "script", "exec")
    assert repr("'); import os; ('") in compiled
