"""The promise that a strategy is one entry: one made up here goes through the whole lab without any other change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from tests.planning.scripted import ScriptedPlans, a_plan
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.__main__ import main
from xcomposer_ui.compare.comparison import comparison_as_json
from xcomposer_ui.compare.document import context_as_json
from xcomposer_ui.compare.execution import ComparisonSettings, compare
from xcomposer_ui.compare.report import markdown
from xcomposer_ui.compare.schedule import variants_for
from xcomposer_ui.compare.verdict import verdict
from xcomposer_ui.core.events import Finished, Status
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES, Strategy, WeightsFormat
from xcomposer_ui.explain import explain
from xcomposer_ui.planning.catalogue import entry_of
from xcomposer_ui.planning.plan import PlanRequest
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.layout import build_app
from xcomposer_ui.ui.plan_handlers import PlanSession
from xcomposer_ui.ui.views.comparison import comparison_view
from xcomposer_ui.ui.views.explanation import explanation_card
from xcomposer_ui.ui.views.models import models_table
from xcomposer_ui.ui.views.plan import plan_view
from xcomposer_ui.ui.views.run_status import answered

NAME = "bfloat16_weights"
CLASH = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
QUESTION = Request("What is there?", Image.new("RGB", (28, 28), "red"), max_new_tokens=2)


@pytest.fixture(autouse=True)
def fifth(monkeypatch: pytest.MonkeyPatch) -> Strategy:
    """bfloat16 weights whatever the half, a float32 picture, autocast to the half.

    Runs are in bfloat16: autocast to float16 over bfloat16 weights is a failure of PyTorch's own.
    """
    weights = WeightsFormat("bfloat16", "bfloat16", 2)
    strategy = Strategy(NAME, weights, "float32", autocast=True, compared_in_each_half=True)
    monkeypatch.setitem(STRATEGIES, NAME, strategy)
    return strategy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fifth") / "model")


@pytest.fixture(scope="module")
def runner(folder: Path) -> Runner:
    return Runner(Settings(model=str(folder), device="cpu", half="bfloat16"))


def run(runner: Runner, strategy: str) -> RunResult:
    *_, last = runner.run(replace(QUESTION, strategy=strategy))
    assert isinstance(last, Finished)
    return last.result


def test_the_page_offers_it() -> None:
    app, _ = build_app(Settings(language="en"), ScriptedRunner(), ScriptedPlans())  # type: ignore[arg-type]
    offers = [c["props"].get("choices") or () for c in app.get_config_file()["components"]]
    assert sum(any(value == NAME for _, value in map(tuple, choices)) for choices in offers) == 2  # a run, a flow
    names = [c["props"].get("elem_id") for c in app.get_config_file()["components"]]
    assert f"try-{NAME}" in names


def test_it_runs_and_the_page_shows_the_run(runner: Runner) -> None:
    result = run(runner, NAME)
    assert result.failure is None
    assert result.weights_dtype == "bfloat16"
    shown = answered(result, True, "zh")
    assert NAME in shown
    assert "bfloat16" in shown


def test_it_is_tried_where_another_one_fails(runner: Runner) -> None:
    failure = run(runner, "as_is").failure
    assert failure is not None
    fix = next(fix for fix in failure.explanation.fixes if fix.strategy == NAME)
    assert (fix.tried, fix.cures) == (True, True)


def test_an_explanation_says_that_it_is_not_known() -> None:
    explanation = explain(CLASH)
    fix = next(fix for fix in explanation.fixes if fix.strategy == NAME)
    assert fix.cures is None
    assert NAME in explanation_card(explanation, "en")


@pytest.mark.slow
def test_it_is_compared_and_reported(runner: Runner) -> None:
    assert [v.half for v in variants_for(HALF_DTYPES) if v.strategy == NAME] == list(HALF_DTYPES)
    *_, last = compare(runner, QUESTION, ComparisonSettings(repeats=1))
    found = last.comparison
    ours = next(run for run in found.runs if run.variant.strategy == NAME)
    assert ours.answer is not None
    assert found.divergence_of(ours) is not None
    for language in ("en", "zh"):
        assert NAME in verdict(found, language)
        assert NAME in comparison_view(CompareSession(comparison=found), language)
    document = json.loads(json.dumps(comparison_as_json(found, context_as_json(QUESTION, found))))
    assert NAME in markdown(document)


@pytest.mark.slow
def test_it_is_planned_as_its_weights_are_held(folder: Path) -> None:
    from xcomposer_ui.backends.planning.planner import plan

    for half, fails_in in (("bfloat16", None), ("float16", "tower")):
        planned = plan(PlanRequest(str(folder), (28, 28), new_tokens=2, half=half, device="cpu", memory_bytes=2 << 20))
        by_name = {strategy.strategy: strategy for strategy in planned.strategies}
        assert by_name[NAME].weights_bytes == by_name["unified"].weights_bytes
        assert by_name[NAME].fails_in == fails_in
    assert NAME in plan_view(PlanSession(plan=planned), "en")
    assert NAME in plan_view(PlanSession(plan=a_plan(PlanRequest("m"))), "zh")


def test_the_catalogue_has_a_column_for_its_weights(folder: Path, fifth: Strategy) -> None:
    entry = entry_of(str(folder))
    assert entry.needed_bytes(fifth.weights) == entry.needed_bytes(STRATEGIES["unified"].weights)
    table = models_table([entry], Status(str(folder), "cpu", "float16"), {entry.name: (NAME, "full")}, "en")
    assert "bfloat16 weights need" in table
    assert f"{NAME}, Full precision" in table


def test_it_is_checked_for_clashes(folder: Path) -> None:
    from xcomposer_ui.backends.lint import lint

    cases = {(case.strategy, case.half): case for case in lint(str(folder)).cases}
    assert {half for name, half in cases if name == NAME} == set(HALF_DTYPES)
    assert cases[NAME, "bfloat16"].clean


def test_the_command_line_takes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["run", "--model", str(folder), "--device", "cpu", "--strategy", NAME, "--max-new-tokens", "2", "--json"]
    assert main([*asked, "--question", "What is there?"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (document["strategy"], document["weights_dtype"]) == (NAME, "bfloat16")
