"""`plan` on the command line: a table or JSON, calibration with its bound, mistakes as one line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoints import tiny_config
from tests.planning.scripted import a_plan
from xcomposer_ui.__main__ import main
from xcomposer_ui.cli import plan as command
from xcomposer_ui.core.strategies import PLANNED
from xcomposer_ui.planning.plan import MOST_BATCH, Plan, PlanRequest
from xcomposer_ui.planning.planner_process import compute_in_one_thread
from xcomposer_ui.ui.plan_handlers import PlanSession
from xcomposer_ui.ui.views.plan import plan_view


@pytest.mark.slow
def test_a_plan_is_one_json_line_and_a_table_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_config().save_pretrained(tmp_path)
    asked = ["plan", "--model", str(tmp_path), "--device", "cpu", "--new-tokens", "8", "--memory", "0.002", "--json"]
    assert main(asked) == 0
    said = capsys.readouterr()
    told = json.loads(said.out.splitlines()[-1])
    assert [strategy["strategy"] for strategy in told["strategies"]] == list(PLANNED)
    assert {"parameters", "planned_sec", "model"} <= set(told)
    assert told["memory_bytes"] == int(0.002 * (1 << 30))
    for name in PLANNED:
        assert name in said.err


def test_the_table_is_planned_with_a_runs_threads_and_names_the_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def plan_request(request: PlanRequest) -> Plan:
        assert os.environ["OMP_NUM_THREADS"] == "1"
        return replace(a_plan(request), parameters=2_021_000)

    monkeypatch.setattr(os, "environ", {**os.environ, "OMP_NUM_THREADS": "2"})
    compute_in_one_thread()
    assert os.environ["OMP_NUM_THREADS"] == "2"  # a run takes as many too
    del os.environ["OMP_NUM_THREADS"]
    monkeypatch.setattr(command, "plan_request", plan_request)
    assert main(["plan", "--half", "bfloat16"]) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert "2.02 million parameters" in head
    assert "bfloat16" in head


@pytest.mark.parametrize(
    "wrong",
    [
        ["--lora-rank", "8"],
        ["--optimizer", "sgd"],
        ["--model", "internlm/internlm-xcomposer2-vl-7b", "--hd-num", "4"],
        ["--memory", "nan"],
        ["--memory", "1e300"],
        ["--image", "big"],
        ["--batch", "0"],
        ["--half", "float8"],
        ["--device", "tpu"],
        ["--model", "no such thing"],
    ],
)
def test_a_mistake_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *wrong]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1


def test_a_batch_at_the_bound_of_planning_is_not_called_the_largest() -> None:
    plan = a_plan(PlanRequest("embedded"))
    strategies = (
        replace(plan.strategies[0], largest_batch=MOST_BATCH),
        *(replace(s, largest_batch=7) for s in plan.strategies[1:]),
    )
    first, second = command.as_text(replace(plan, strategies=strategies)).splitlines()[2:4]
    assert "≥ 4096 " in first
    assert "  7  " in second and "≥" not in second
    shown = str(plan_view(PlanSession(plan=replace(plan, strategies=strategies)), "en"))
    assert "≥ 4096" in shown
