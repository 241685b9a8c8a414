"""The Learn tab's handlers and views: a prediction, its run, the score, the explorer, the papers."""

from __future__ import annotations

import re
from datetime import datetime
from types import SimpleNamespace

import pytest

from tests.ui.calls import awaited
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES, text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.lesson.experiments import EXPERIMENTS, Findings
from xcomposer_ui.lesson.explorer import Calculation
from xcomposer_ui.lesson.kept_results import KeptResults, StepResult
from xcomposer_ui.lesson.progress import Progress
from xcomposer_ui.lesson.step import Step, lesson
from xcomposer_ui.ui.layout import build_app
from xcomposer_ui.ui.learn_handlers import (
    FLOATS,
    PRESETS,
    TEACHER,
    LearnSession,
    answered,
    back_at,
    calculation_from_page,
    calculation_of,
    measured,
    opened,
)
from xcomposer_ui.ui.links import calculation_link, calculation_linked, step_link
from xcomposer_ui.ui.views.evidence import error_text, evidence_view, exact_text, number_text
from xcomposer_ui.ui.views.float_explorer import explorer_view
from xcomposer_ui.ui.views.lesson import answers_page, lesson_view, worksheet

FIRST = lesson()[0]


def real_arithmetic(step: Step) -> Findings:
    """The findings of the first step, which needs no model; every other one is refused."""
    if step.experiment != "arithmetic":
        raise UserError("no_tiles")
    return EXPERIMENTS["arithmetic"](None, step.parameters)  # type: ignore[arg-type]


@pytest.fixture
def results() -> KeptResults:
    return KeptResults(real_arithmetic)


def answer(results: KeptResults, session: LearnSession, choice: str) -> list[tuple[LearnSession, Progress]]:
    async def all_steps() -> list[tuple[LearnSession, Progress]]:
        return [step async for step in answered(results, session, Progress(), choice)]

    return awaited(all_steps())


def test_a_right_prediction_scores_and_shows_the_run(results: KeptResults) -> None:
    session, progress = answer(results, LearnSession(), "unchanged")[-1]
    page = lesson_view(session, progress, results, "en")
    assert progress.right == 1
    assert text("lesson.correct", "en") in page and "2048 + 1 is 2048 in float16" in page
    assert 'class="xl-step-mark xl-step-right"' in page


def test_a_wrong_prediction_gets_the_reason_that_it_is_tempting(results: KeptResults) -> None:
    session, progress = answer(results, LearnSession(), "exact")[-1]
    page = lesson_view(session, progress, results, "zh")
    assert progress.right == 0 and len(progress.answers) == 1
    reason = text("lesson.range_and_resolution.tempting.exact", "zh")
    assert f"正确答案是“2048”。</b> 关于你的答案：{reason}" in page


def test_nothing_is_shown_before_the_prediction(results: KeptResults) -> None:
    results.future(FIRST).result(60)
    page = lesson_view(LearnSession(), Progress(), results, "en")
    assert text("lesson.predict", "en") in page
    assert text("lesson.why", "en") not in re.findall(r"<h4>(.*?)</h4>", page)
    assert page.count('data-event="submit"') == len(FIRST.choices)


def test_a_waiting_visitor_sees_the_place_in_the_queue(results: KeptResults) -> None:
    page = lesson_view(LearnSession(choice="exact", ahead=2), Progress(), results, "en")
    assert text("lesson.waiting.ahead", "en", place=3, ahead=2) in page
    assert page.count(" disabled") == len(FIRST.choices)


def test_a_run_that_is_refused_is_said_and_does_not_count(results: KeptResults) -> None:
    session, progress = answer(results, LearnSession("clash"), "projector")[-1]
    assert session.notice is not None and session.choice is None
    assert progress == Progress()
    assert session.notice.in_language("en") in lesson_view(session, progress, results, "en").unescape()


def test_an_answer_that_is_not_offered_is_a_mistake(results: KeptResults) -> None:
    ((session, _),) = answer(results, LearnSession(), "<script>")
    assert session.notice is not None and session.notice.code == "unknown_answer"
    assert "<script>" not in lesson_view(session, Progress(), results, "en")


def test_an_answered_step_shows_its_result_again(results: KeptResults) -> None:
    _, progress = answer(results, LearnSession(), "exact")[-1]
    assert text("lesson.why", "en") in lesson_view(opened(FIRST.name), progress, results, "en")


def test_places_of_links() -> None:
    assert opened("clash").step is not None and opened(FLOATS).step is None
    assert opened("").step is FIRST
    unknown = opened("no-such-step")
    assert unknown.step is FIRST and unknown.notice is not None
    assert back_at("clash") == opened("clash") and back_at("of another version") == LearnSession()


def test_a_reload_stays_at_the_step_and_a_link_goes_before_it(runner: ScriptedRunner) -> None:
    app, _ = build_app(Settings(), runner)  # type: ignore[arg-type]
    events = {function.name: function.fn for function in app.fns.values()}
    go = events["_opened"](LearnSession(), {}, "en", SimpleNamespace(_data={"go": "clash"}))  # type: ignore[misc]
    (stored,) = (value for value in go.values() if isinstance(value, dict) and "place" in value)
    for query, place in (({}, "clash"), ({"learn": ""}, "clash"), ({"learn": "memory"}, "memory")):
        visit = SimpleNamespace(query_params=query)
        loaded = events["_linked"]("en", LearnSession(), stored, visit, "1", "", "")  # type: ignore[misc]
        assert LearnSession(place) in loaded.values()


def test_a_run_that_none_of_the_answers_describes(results: KeptResults) -> None:
    step = next(step for step in lesson() if step.name == "distance")
    assert step.right({"closest": None}) is None
    result = StepResult(FIRST, Findings({}, results.future(FIRST).result(60).findings.evidence), datetime.now(), 0.1)
    assert result.right is None and not result.as_expected
    assert evidence_view(result, "en")


def test_the_teachers_run_goes_through_every_step(results: KeptResults) -> None:
    async def all_steps() -> list[LearnSession]:
        return [step async for step in measured(results, LearnSession(TEACHER))]

    last = awaited(all_steps())[-1]
    assert last.measured is None and last.notice is not None  # all but the first are refused here
    page = lesson_view(last, Progress(), results, "en")
    assert "2048 + 1 is 2048 in float16" in page
    assert page.count("not run here yet") == len(lesson()) - 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worksheet_has_no_answers_and_the_teachers_page_has(language: str, results: KeptResults) -> None:
    results.future(FIRST).result(60)
    sheet, page = worksheet(language), answers_page(results, language)
    for step in lesson():
        why = text(f"lesson.{step.name}.why", language)
        assert why not in sheet and text(f"lesson.{step.name}.choice.{step.expected}", language) in str(sheet)
        assert all(text(f"lesson.{step.name}.before", language) in paper.unescape() for paper in (sheet, page))
        assert not re.search("chart|图中", why)  # papers have none
    assert "✓" not in sheet and page.count("✓") == len(lesson())
    assert "@media print" in sheet and sheet.lstrip().startswith("<!doctype html>")


@pytest.mark.parametrize("step", lesson(), ids=lambda step: step.name)
def test_a_step_opens_what_it_is_about(step: Step) -> None:
    assert step_link(step).startswith("?learn=floats&" if step.opens == "floats" else f"?{step.opens}=")


def test_a_calculation_has_a_link() -> None:
    calculation = Calculation("-0.1", "×", "3e5")
    query = dict(pair.split("=") for pair in calculation_link(Calculation("1", "", ""))[1:].split("&"))
    assert calculation_linked(query) == Calculation("1")
    assert calculation_linked({"first": "-0.1", "operation": "×", "second": "3e5"}) == calculation
    assert calculation_linked({"first": "no number"}) is None and calculation_linked({}) is None


def test_the_fields_and_the_clicks_of_the_explorer() -> None:
    assert calculation_of("1", None, "not read without an operation") == Calculation("1")
    assert calculation_from_page({"preset": 0}) == PRESETS[0]
    assert calculation_from_page({"format": "float16", "bits": "0100000000000000"}) == Calculation("2.0")
    for sent in ({}, {"format": "float16"}, {"format": "float16", "bits": "<b>"}):
        with pytest.raises(UserError):
            calculation_from_page(sent)
    with pytest.raises(UserError):
        calculation_of("1", "+", None)


def test_the_explorer_shows_every_format_and_clickable_bits() -> None:
    page = explorer_view(Calculation("0.1"), "en", "?")
    assert page.count('class="xl-bits"') == 6
    assert page.count("data-bit=") == 32 + 19 + 16 + 16 + 8 + 8
    assert page.count("<polygon") == 6 and page.count("<circle") == 6
    assert "data-bit=" not in explorer_view(Calculation("0.1", "+", "0.2"), "en", "?")


@pytest.mark.parametrize("number", ["", "1,5", "1/3", "10²", "0x1p-3"])
def test_nothing_is_shown_under_what_the_explorer_refuses(number: str, runner: ScriptedRunner) -> None:
    app, _ = build_app(Settings(), runner)  # type: ignore[arg-type]
    typed = next(function for function in app.fns.values() if function.name == "_typed")
    page = next(str(value) for part, value in typed.fn((), "en", number, "", "").items() if part.elem_id == "floats")  # type: ignore[misc]
    assert "is not a number" in page
    assert "<table" not in page and "<figure" not in page and "?learn" not in page


@pytest.mark.parametrize("calculation", [*PRESETS, Calculation("nan"), Calculation("-inf"), Calculation("0"),
                                         Calculation("1e400"), Calculation("1e300", "×", "1e300")])  # fmt: skip
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_explorer_shows_what_cannot_be_held(calculation: Calculation, language: str) -> None:
    assert explorer_view(calculation, language, calculation_link(calculation)).count("<tr") == 7


def test_numbers_as_text() -> None:
    assert number_text(2049.0) == "2049" and number_text(0.0625) == "0.0625"
    assert number_text(2.0**-149) == "1.40129846…e-45".replace("-", "−")
    assert number_text(2.0**-12) == "0.000244140625" and number_text(1e20) == "1e20"
    assert number_text(-0.0) == exact_text(-0.0) == "−0"
    assert (number_text(float("inf")), number_text(float("nan"))) == ("∞", "NaN")
    assert exact_text(-0.1).startswith("−0.1000000000000000055511151231257827")
    assert error_text(None) == "—"
