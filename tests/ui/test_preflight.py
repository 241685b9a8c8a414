"""Whether a run is begun, what it was predicted to take, and how its memory is drawn."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.planning.scripted import GIB, ScriptedPlans, a_plan
from tests.ui.calls import awaited
from tests.ui.scripted import ScriptedRunner
from tests.ui.visitor import Visitor, config_of
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import MemorySoFar, Status
from xcomposer_ui.core.memory_timeline import MemorySample, MemoryTimeline
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape
from xcomposer_ui.ui import preflight as preflight_module
from xcomposer_ui.ui.ask_form import strategy_why
from xcomposer_ui.ui.ask_results import fit_labels
from xcomposer_ui.ui.ask_tab import AskTab, fewer_tiles_fields, fitting_fields
from xcomposer_ui.ui.handlers import ask, request_from
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.plan_handlers import COUNTS, filled_in
from xcomposer_ui.ui.preflight import preflight
from xcomposer_ui.ui.serve import launch
from xcomposer_ui.ui.session import CheckingFit, Session
from xcomposer_ui.ui.views.memory_chart import memory_chart
from xcomposer_ui.ui.views.run_status import run_status
from xcomposer_ui.ui.views.runs import runs_csv

COURSE = MemoryTimeline(
    "cpu_tensors",
    6 << 20,
    (MemorySample(0.1, "tower", 7 << 20), MemorySample(0.2, "prefill", 8 << 20), MemorySample(1.5, "decode", 7 << 20)),
)


class Tight(ScriptedPlans):
    """Plans in which float32 weights do not fit. tiles: with how many they would."""

    def __init__(self, tiles: int | None = None) -> None:
        super().__init__()
        self.tiles = tiles

    def plan(self, request: PlanRequest, gone: object = None) -> Plan:
        self.asked.append(request)
        plan = a_plan(request, self.tiles)
        few = request.hd_num is not None and request.hd_num <= (self.tiles or 0)
        judged = [replace(s, fits_memory=few or "full" not in s.strategy, largest_batch=0) for s in plan.strategies]
        return replace(plan, strategies=tuple(judged))


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")


def test_a_run_that_does_not_fit_is_not_begun_and_another_is_offered(
    runner: ScriptedRunner, form: dict[str, Any]
) -> None:
    ahead = preflight(runner, Tight())  # type: ignore[arg-type]  # the double has the interface
    wanted = {**form, "strategy": "full"}
    steps = list(ask(runner, Session(), wanted, preflight=ahead))  # type: ignore[arg-type]
    assert steps[1].stage == CheckingFit()
    assert "Planning whether it fits" in run_status(steps[1], "en")
    last = steps[-1]
    assert (last.running, last.runs, runner.asked) == (None, (), [])
    assert last.misfit is not None and last.refused == request_from(wanted).without_image()
    assert fit_labels(last.misfit, "en") == ("Run “Autocast”", None, "Run anyway")
    assert fit_labels(None, "en") == (None, None, None)
    assert fitting_fields(last, form)["strategy"] == "autocast"
    assert fitting_fields(Session(), form) is form
    assert fewer_tiles_fields(last, form) is form


def test_fewer_tiles_are_offered_and_the_run_has_them(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    plans = Tight(tiles=9)
    ahead = preflight(runner, plans)  # type: ignore[arg-type]
    wanted = {**form, "strategy": "full", "hd_num": 24}
    last = list(ask(runner, Session(), wanted, preflight=ahead))[-1]  # type: ignore[arg-type]
    assert plans.asked[0].hd_num == 24
    assert fit_labels(last.misfit, "en") == ("Run “Autocast”", "Run with at most 9 tiles", "Run anyway")
    assert fit_labels(last.misfit, "zh")[1] == "最多 9 个分块运行"
    again = fewer_tiles_fields(last, {**form, "text": "Something else?"})
    assert Request(**again) == Request(**{**wanted, "hd_num": 9})
    done = list(ask(runner, last, again, preflight=ahead))[-1]  # type: ignore[arg-type]
    assert (runner.asked[0].hd_num, done.runs[0].result.request.hd_num) == (9, 9)
    (row,) = csv.DictReader(io.StringIO(runs_csv(done.runs)))
    assert row["hd_num"] == "9"
    assert "at most 9 tiles" in run_status(done, "en")


def test_it_is_begun_all_the_same_where_that_is_asked(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    ahead = preflight(runner, Tight())  # type: ignore[arg-type]
    refused = Session().with_misfit(request_from(form), None)  # type: ignore[arg-type]
    steps = list(ask(runner, refused, {**form, "strategy": "full"}, preflight=ahead, anyway=True))  # type: ignore[arg-type]
    assert len(steps[-1].runs) == 1
    assert (steps[-1].misfit, steps[-1].refused) == (None, None)


def test_what_fits_is_begun_and_plans_are_not_asked_for_a_small_model(form: dict[str, Any]) -> None:
    plans, runner = Tight(), ScriptedRunner(has_room=MemoryBudget("cpu", 1 << 50))
    ahead = preflight(runner, plans)  # type: ignore[arg-type]
    assert len(list(ask(runner, Session(), {**form, "strategy": "full"}, preflight=ahead))[-1].runs) == 1  # type: ignore[arg-type]
    assert plans.asked == []


def test_a_machine_that_is_not_known_yet_is_looked_at_first(form: dict[str, Any]) -> None:
    runner = ScriptedRunner(known=False)
    ahead = preflight(runner, Tight())  # type: ignore[arg-type]
    steps = list(ask(runner, Session(), form, preflight=ahead))  # type: ignore[arg-type]
    assert steps[1].stage == CheckingFit()
    assert runner.known


def join_predictions() -> None:
    """Wait until what was asked for in the background is answered."""
    for thread in threading.enumerate():
        if thread.name == "prediction":
            thread.join()


def test_memory_is_told_while_the_run_goes_on_with_what_was_predicted(form: dict[str, Any]) -> None:
    runner = ScriptedRunner(before=(MemorySoFar(COURSE),))
    ahead = preflight(runner, ScriptedPlans())  # type: ignore[arg-type]
    told = [s for s in ask(runner, Session(), form, preflight=ahead) if s.timeline]  # type: ignore[arg-type]
    assert told[0].timeline == COURSE
    assert told[0].expected_bytes is None
    join_predictions()
    again = [s for s in ask(runner, Session(), form, preflight=ahead) if s.timeline]  # type: ignore[arg-type]
    assert again[0].expected_bytes == 15_000_000 + 256
    tiles = runner.resolved(Request("What?", strategy="full", hd_num=9)).memory_query()
    assert ahead.expected(tiles, "cpu") is None
    join_predictions()
    assert ahead.expected(tiles, "cpu") == 15_000_000 + tiles.new_tokens + 9000


def test_a_later_turn_is_checked_but_not_compared_with_a_prediction(form: dict[str, Any]) -> None:
    runner, plans = ScriptedRunner(before=(MemorySoFar(COURSE),)), Asked()
    ahead = preflight(runner, plans)  # type: ignore[arg-type]
    first = list(ask(runner, Session(), form, preflight=ahead))[-1]  # type: ignore[arg-type]
    join_predictions()
    asked = len(plans.left)
    steps = list(ask(runner, first, {**form, "text": "And now?"}, preflight=ahead))  # type: ignore[arg-type]
    join_predictions()
    assert steps[-1].runs[-1].request.history
    assert [s.expected_bytes for s in steps if s.timeline] == [None] * sum(s.timeline is not None for s in steps)
    assert len(plans.left) == asked == 1
    tight = ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")
    wanted = {**form, "text": "And now?", "strategy": "full"}
    refused = list(ask(tight, first, wanted, preflight=preflight(tight, Tight())))[-1]  # type: ignore[arg-type]
    assert refused.misfit is not None
    assert refused.refused is not None and refused.refused.history


def test_the_line_of_the_peak_is_the_newest_runs(form: dict[str, Any]) -> None:
    runner = ScriptedRunner()
    checks = preflight(runner, ScriptedPlans())  # type: ignore[arg-type]
    with gr.Blocks():
        page = Page(Localization("en"), Settings(), runner, checks, gr.Radio(["en", "zh"]))  # type: ignore[arg-type]
        results = AskTab(page).results
    first = list(ask(runner, Session(), form))[-1]
    assert "predicted" in results.predictions(first, "en", predict_newest=True)[results.pairs]
    steps = list(ask(runner, first, {**form, "strategy": "unified"}))
    assert [results.predictions(step, "en")[results.pairs] for step in steps] == [""] * len(steps)
    assert "Unified" in results.predictions(steps[-1], "en", predict_newest=True)[results.pairs]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_course_is_drawn_from_zero_with_units_and_said_in_words(language: str) -> None:
    shown = memory_chart(COURSE, 9 << 20, language)
    assert '<span style="bottom:0.00%">0</span>' in shown
    assert ">MiB</b>" in shown and ">s</b>" in shown
    assert shown.count("xl-border") == 2
    assert shown.count("xl-predicted") == 2
    assert re.search(r'role="img" aria-label="[^"]*9\.00 MiB', shown)
    assert all(figure in shown for figure in ("7.00 MiB", "8.00 MiB", "6.00 MiB"))
    assert "xl-reserved" not in shown


def test_a_cards_reserve_is_a_curve_of_its_own() -> None:
    samples = tuple(replace(sample, reserved_bytes=20 << 20) for sample in COURSE.samples)
    shown = memory_chart(replace(COURSE, kind="cuda_allocated", samples=samples), None, "en")
    assert 'class="xl-reserved" d="M0' in shown
    assert "20.0 MiB" in shown and "xl-predicted" not in shown


def test_without_a_course_nothing_is_drawn() -> None:
    assert memory_chart(None, 1, "en") == memory_chart(replace(COURSE, samples=()), 1, "en") == ""


def test_the_strategy_to_begin_with_says_why() -> None:
    status = Status("m", "cpu", "float16", {"strategy": Message("reason.strategy.everywhere")}, (), "autocast")
    assert "Autocast, because it works on every machine" in strategy_why(status, "en")
    assert "在任何机器上都能回答" in strategy_why(status, "zh")
    assert strategy_why(Status("m", None, None), "en") == ""


def test_the_plan_tabs_empty_boxes_leave_it_to_the_lab() -> None:
    counts = dict.fromkeys(COUNTS)
    empty = {"model": "m", "image": "", "hd_num": 0, **counts, "half": None, "memory_gib": 0}
    assert filled_in(empty) == {"model": "m", "image": "none"}
    full = {"model": "embedded", "image": "3x4", "hd_num": 9, **dict.fromkeys(COUNTS, 0), "memory_gib": 1.5}
    assert filled_in(full) == full


class Endless(ScriptedPlans):
    """Plans and predictions that end only when their caller is gone. begun: set once one is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.given_up = threading.Event(), threading.Event()

    def predict(self, shape: RunShape, gone: Callable[[], bool] = lambda: False) -> int:
        self.begun.set()
        while not gone():
            self.given_up.wait(0.01)
        self.given_up.set()
        raise UserError("given_up")


def test_a_prediction_ends_when_its_page_is_closed(picture: str) -> None:
    plans = Endless()
    served, address, _ = launch(Settings(port=0), ScriptedRunner(), plans)  # type: ignore[arg-type]  # the doubles fit

    async def visit() -> None:
        async with Visitor(address, await config_of(address)) as visitor:
            visitor.set(picture=await visitor.upload(Path(picture)), question="What?")
            async for _ in visitor.press("run"):
                pass
            assert await asyncio.to_thread(plans.begun.wait, 60)
            await asyncio.wait_for(visitor.connected.wait(), 60)
            assert not plans.given_up.is_set()

    awaited(visit())
    assert plans.given_up.wait(60)
    served.close()


class Asked(ScriptedPlans):
    """left: whether the caller of each prediction had left."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[bool] = []

    def predict(self, shape: RunShape, gone: Callable[[], bool] = lambda: False) -> int:
        self.left.append(gone())
        return super().predict(shape)


def test_a_step_of_the_lesson_does_not_end_with_the_visitor_who_was_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result is kept for a class, so that the plans of a run end with their caller, but not the lesson's."""
    monkeypatch.setattr(preflight_module, "caller_gone", lambda: lambda: True)
    plans = Asked()
    served, address, _ = launch(Settings(port=0), ScriptedRunner(), plans)  # type: ignore[arg-type]  # the doubles fit

    async def visit() -> str:
        async with Visitor(address, await config_of(address)) as visitor:
            async for _ in visitor.press("lesson", "select", sent={"go": "memory"}):
                pass
            async for _ in visitor.press("lesson", "submit", sent={"choice": "half"}):
                pass
            return visitor.html("lesson")

    assert "xl-lesson-why" in awaited(visit())
    assert plans.left == [False, False]
    served.close()
