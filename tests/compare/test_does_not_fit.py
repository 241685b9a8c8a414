"""A comparison of which not all fits: not begun unasked, on the page and through the endpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.compare.scripted import ScriptedRunner
from tests.planning.scripted import GIB
from tests.ui.test_preflight import Tight
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import Plan, PlanRequest
from xcomposer_ui.ui import compare_handlers
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.preflight import Preflight, preflight
from xcomposer_ui.ui.views.comparison import comparison_view
from xcomposer_ui.ui.views.notices import does_not_fit_notice


class NothingFits(Tight):
    """Plans in which no strategy fits."""

    def plan(self, request: PlanRequest, gone: object = None) -> Plan:
        plan = super().plan(request)
        return replace(plan, strategies=tuple(replace(s, fits_memory=False) for s in plan.strategies))


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")


@pytest.fixture
def form(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "red.png"
    Image.new("RGB", (16, 12), "red").save(path)
    return {"text": "What is there?", "file": str(path), "halves": ("float16", "bfloat16"), "repeats": 1}


def ahead(runner: ScriptedRunner, plans: Tight | None = None) -> Preflight:
    return preflight(runner, plans or Tight())  # type: ignore[arg-type]  # the doubles have the interfaces


def last(steps: Iterable[CompareSession]) -> CompareSession:
    return list(steps)[-1]


def test_it_is_not_begun_and_says_what_does_not_fit(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    before = last(compare_handlers.steps(runner, CompareSession(), form))
    asked = len(runner.asked)
    judging, refused = compare_handlers.steps(runner, before, form, preflight=ahead(runner))
    assert "Planning whether it fits" in comparison_view(judging, "en")
    assert len(runner.asked) == asked
    assert not refused.checking_fit and refused.comparison == before.comparison
    assert refused.misfit is not None
    assert refused.misfit.without == (Variant("full", "float16"),)
    shown = does_not_fit_notice(refused.misfit, "en")
    assert "Not all of this fits into the 24.0 GiB" in shown and "needs 35.0 GiB" in shown
    assert "Unified float16, Unified bfloat16." in shown
    assert "nothing to measure the distance from" in shown
    assert "放得下的有" in does_not_fit_notice(refused.misfit, "zh")
    assert does_not_fit_notice(None, "en") == ""


def test_those_that_fit_are_compared_without_full_precision(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    refused = last(compare_handlers.steps(runner, CompareSession(), form, preflight=ahead(runner)))
    done = last(compare_handlers.steps_of_misfit(runner, refused, (), only_fitting=True))
    assert done.misfit is None and done.document is not None
    assert {run["strategy"] for run in done.document["runs"]} == {"as_is", "autocast", "unified"}
    assert (runner.diverged, done.document["divergence"]) == (0, [])
    assert "Side by side" in comparison_view(done, "en")


def test_all_are_compared_where_that_is_asked(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    refused = last(compare_handlers.steps(runner, CompareSession(), form, preflight=ahead(runner)))
    done = last(compare_handlers.steps_of_misfit(runner, refused, ()))
    assert done.document is not None
    assert len(done.document["runs"]) == 6
    assert list(compare_handlers.steps_of_misfit(runner, done, ())) == []  # nothing waits to be asked for any more


def test_the_examples_are_judged_once_by_the_largest_and_go_on_with_what_fits(
    runner: ScriptedRunner, form: dict[str, Any], tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (40, 30)).save(large)
    assert form["file"] is not None
    examples = (Example(form["file"], "What? " * 60, "en"), Example(str(large), "Where?", "en"))
    plans = Tight()
    refused = last(
        compare_handlers.batch_steps(runner, CompareSession(), form, examples, preflight=ahead(runner, plans))
    )
    assert [(request.image, request.prompt_tokens) for request in plans.asked] == [((40, 30), 512)] * 2  # a half each
    assert refused.misfit is not None and refused.misfit.batch
    assert runner.asked == []
    done = last(compare_handlers.steps_of_misfit(runner, refused, examples, only_fitting=True))
    assert [len(document["runs"]) for document in done.batch] == [5, 5]


def test_where_nothing_fits_only_all_the_same_is_left(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    refused = last(compare_handlers.steps(runner, CompareSession(), form, preflight=ahead(runner, NothingFits())))
    assert refused.misfit is not None
    assert refused.misfit.fitting == ()
    assert "a smaller model would" in does_not_fit_notice(refused.misfit, "en")
    tiles = last(compare_handlers.steps(runner, CompareSession(), form, preflight=ahead(runner, NothingFits(tiles=9))))
    assert "With at most 9 tiles" in does_not_fit_notice(tiles.misfit, "en")


def test_what_fits_is_begun_at_once(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    plans = Tight(tiles=9)
    done = last(compare_handlers.steps(runner, CompareSession(), {**form, "hd_num": 9}, preflight=ahead(runner, plans)))
    assert done.misfit is None and done.document is not None
    assert done.document["question"]["hd_num"] == plans.asked[0].hd_num == 9
    small = ScriptedRunner(has_room=MemoryBudget("cpu", 1 << 50))
    asked = len(plans.asked)
    assert (
        last(compare_handlers.steps(small, CompareSession(), form, preflight=ahead(small, plans))).document is not None
    )
    assert len(plans.asked) == asked


def test_a_mistake_comes_before_any_plan(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    plans = Tight()
    wrong = {**form, "hd_num": 97}
    for steps in (
        compare_handlers.steps(runner, CompareSession(), wrong, preflight=ahead(runner, plans)),
        compare_handlers.batch_steps(
            runner, CompareSession(), wrong, [Example(str(form["file"]), "What?", "en")], preflight=ahead(runner, plans)
        ),
    ):
        ended = last(steps)
        assert ended.notice is not None and ended.notice.code == "out_of_range"
    assert plans.asked == []


def test_the_endpoint_refuses_unless_it_is_asked_for_anyway(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="What fits: as_is, autocast, unified"):
        compare_handlers.compare_once(runner, form, ahead(runner))
    assert runner.asked == []
    assert len(compare_handlers.compare_once(runner, form, ahead(runner), anyway=True)["runs"]) == 6
