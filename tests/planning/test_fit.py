"""Whether a run is begun: sure, planned to fit, planned not to, ended for want of memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.planning.scripted import GIB, a_plan
from tests.requests import result_of
from tests.ui.scripted import FAILURE
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.planning.fit import (
    DoesNotFit,
    FitChecker,
    MemoryBudget,
    MemoryRequest,
    certainly_fits,
    plan_request_of,
    ran_out,
)
from xcomposer_ui.planning.plan import Plan, PlanRequest
from xcomposer_ui.ui.views.notices import does_not_fit_notice

WANTED = MemoryRequest("org/large", "full", "float16", (64, 48), 30, 200)


class Planned:
    """Plans in which strategies over float32 weights do not fit."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[PlanRequest] = []
        self.changes = changes

    def plan(self, request: PlanRequest) -> Plan:
        self.asked.append(request)
        plan = a_plan(request)
        judged = [
            replace(s, **{"fits_memory": "full" not in s.strategy, "largest_batch": 0, **self.changes})
            for s in plan.strategies
        ]
        return replace(plan, strategies=tuple(judged))


def fitting(plans: Planned, room: MemoryBudget | None) -> FitChecker:
    return FitChecker(plans, lambda: room)


def before(asked: FitChecker, wanted: MemoryRequest) -> DoesNotFit | None:
    return next(iter(asked.misfits([wanted])), None)


def test_what_fits_is_begun_and_what_does_not_is_not() -> None:
    plans = Planned()
    asked = fitting(plans, MemoryBudget("cpu", 24 * GIB))
    assert asked.needs_plan(WANTED)
    assert before(asked, replace(WANTED, strategy="unified")) is None
    misfit = before(asked, WANTED)
    assert misfit is not None
    assert (misfit.needed_bytes, misfit.advice.strategy) == (35 * GIB, "autocast")
    shown = does_not_fit_notice(misfit, "en")
    assert "35.0 GiB" in shown and "24.0 GiB" in shown and "“Autocast” fits" in shown
    assert "放得下" in does_not_fit_notice(misfit, "zh")


def test_a_card_is_compared_with_the_drivers_count() -> None:
    misfit = before(fitting(Planned(), MemoryBudget("cuda", 24 * GIB)), WANTED)
    assert misfit is not None
    assert misfit.needed_bytes == a_plan(PlanRequest("m")).strategies[3].on_card.total_bytes
    assert plan_request_of(WANTED, MemoryBudget("cuda", GIB)).memory_of == "card"
    assert plan_request_of(WANTED, MemoryBudget("cpu", GIB)).memory_of == "host"


def test_questions_of_a_like_length_share_a_plan() -> None:
    plans = Planned()
    asked = fitting(plans, MemoryBudget("cpu", 24 * GIB))
    for length in (1, 30, 256):
        before(asked, replace(WANTED, text_length=length))
    assert len(plans.asked) == 1
    before(asked, replace(WANTED, text_length=257))
    assert [request.prompt_tokens for request in plans.asked] == [256, 512]
    room = plans.asked[0].memory_bytes
    assert room is not None and 0.98 * 24 * GIB < room <= 24 * GIB


def test_the_tiles_asked_for_are_planned() -> None:
    plans = Planned()
    before(fitting(plans, MemoryBudget("cpu", 24 * GIB)), replace(WANTED, hd_num=7))
    assert plans.asked[0].hd_num == 7


def test_fewer_tiles_are_offered_where_no_strategy_fits() -> None:
    misfit = before(fitting(Planned(fits_memory=False, largest_tiles=9), MemoryBudget("cpu", GIB)), WANTED)
    assert misfit is not None
    assert (misfit.advice.strategy, misfit.advice.tiles) == (None, 9)
    assert "at most 9 tiles" in does_not_fit_notice(misfit, "en")
    none = before(fitting(Planned(fits_memory=False), MemoryBudget("cpu", GIB)), WANTED)
    assert "a smaller model" in does_not_fit_notice(none, "en")


def test_where_nothing_is_known_nothing_is_concluded() -> None:
    plans = Planned()
    asked = fitting(plans, None)
    assert not asked.needs_plan(WANTED)
    assert before(asked, WANTED) is None
    assert plans.asked == []


def test_a_small_checkpoint_is_not_planned(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    (tmp_path / "notes.txt").write_bytes(bytes(10**6))
    assert certainly_fits(str(tmp_path), MemoryBudget("cpu", 16_000))
    assert not certainly_fits(str(tmp_path), MemoryBudget("cpu", 15_999))
    assert not certainly_fits("org/large", MemoryBudget("cpu", 1 << 60))
    plans = Planned()
    assert before(fitting(plans, MemoryBudget("cpu", 1 << 40)), replace(WANTED, model=str(tmp_path))) is None
    assert plans.asked == []


def failed(kind: str, message: str) -> RunResult:
    measured = Measurement(peak_memory_bytes=20 * GIB, peak_memory_kind="cpu_tensors")
    failure = replace(FAILURE, type=kind, message=message)
    return result_of("full", measured, model="org/large", failure=failure)


@pytest.mark.parametrize(
    ("kind", "message", "out"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 16.00 MiB", True),
        ("RuntimeError", "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you", True),
        ("RuntimeError", "mat1 and mat2 must have the same dtype", False),
    ],
)
def test_running_out_is_told_from_other_failures(kind: str, message: str, out: bool) -> None:
    assert ran_out(failed(kind, message)) is out
    misfit = fitting(Planned(), MemoryBudget("cpu", 24 * GIB)).after_run(WANTED, failed(kind, message))
    assert (misfit is not None) is out
    if misfit is not None:
        assert (misfit.measured_bytes, misfit.advice.strategy) == (20 * GIB, "autocast")
        assert "20.0 GiB were in use" in does_not_fit_notice(misfit, "en")


def test_running_out_where_it_should_fit_says_so() -> None:
    misfit = fitting(Planned(fits_memory=True), MemoryBudget("cpu", 64 * GIB)).after_run(
        WANTED, failed("OutOfMemoryError", "x")
    )
    assert misfit is not None
    assert "something else may hold the memory" in does_not_fit_notice(misfit, "en")


def test_an_answer_needs_no_advice() -> None:
    answered = replace(failed("x", "x"), failure=None, answer="yes")
    assert fitting(Planned(), MemoryBudget("cpu", GIB)).after_run(WANTED, answered) is None


def test_the_strategies_that_fit_are_those_of_the_plan(tmp_path: Path) -> None:
    plans = Planned()
    fitting_here = fitting(plans, MemoryBudget("cpu", 24 * GIB))
    assert fitting_here.strategies("org/large", "float16", wait=False) is None
    assert fitting_here.strategies("org/large", "float16", wait=True) == ("as_is", "autocast", "unified")
    assert fitting_here.strategies("org/large", "float16", wait=False) == ("as_is", "autocast", "unified")
    assert len(plans.asked) == 1
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    assert fitting_here.strategies(str(tmp_path), "float16", wait=False) == tuple(STRATEGIES)
    assert fitting(plans, None).strategies("org/large", "float16", wait=True) is None
