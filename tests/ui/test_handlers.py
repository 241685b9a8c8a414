"""The page's handlers as plain functions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ui.scripted import FAILURE, LOADING, MEASURED, ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.ui.handlers import ask, remedies, remedy, request_from, run_once, stopped
from xcomposer_ui.ui.session import Session


def last(steps: Iterable[Session]) -> Session:
    return list(steps)[-1]


def test_an_answer_becomes_a_turn_and_a_run(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    done = last(ask(runner, Session(), form))
    assert done.running is None
    assert done.last is not None
    assert done.last.answer == "You asked: What color is it?"
    assert done.last.measurement == MEASURED
    assert len(done.turns) == len(done.runs) == 1


def test_the_question_shows_before_anything_is_computed(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    first = next(iter(ask(runner, Session(), form)))
    assert first.running == request_from(form).without_image()
    assert runner.asked == []


def test_the_stages_and_the_growing_answer_are_steps(form: dict[str, Any]) -> None:
    runner = ScriptedRunner(before=(Waiting(), *LOADING))
    ticks = iter(range(100))
    steps = list(ask(runner, Session(), form, clock=lambda: float(next(ticks))))
    assert [step.stage for step in steps[1:4]] == [Waiting(), *LOADING]
    drafts = [step.draft for step in steps if step.draft]
    assert drafts == sorted(drafts, key=len)
    assert drafts[-1] == "You asked: What color is it?"
    assert all(step.stage is None for step in steps if step.draft)


def test_words_that_come_faster_than_can_be_read_are_drawn_together(
    runner: ScriptedRunner, form: dict[str, Any]
) -> None:
    steps = list(ask(runner, Session(), form, clock=lambda: 0.0))
    assert len([step for step in steps if step.draft]) == 1
    assert steps[-1].last is not None
    assert steps[-1].last.answer == "You asked: What color is it?"


def test_the_model_gets_the_picture_and_the_settings(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    last(ask(runner, Session(), {**form, "max_new_tokens": 7, "temperature": 0.5, "top_p": 0.3, "seed": 11}))
    question = runner.asked[0]
    assert question.image is not None
    assert question.image.size == (64, 48)
    assert (question.max_new_tokens, question.temperature, question.top_p, question.seed) == (7, 0.5, 0.3, 11)
    assert question.strategy == "autocast"


def test_a_conversation_goes_on(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    first = last(ask(runner, Session(), form))
    last(ask(runner, first, {**form, "text": "And its shape?"}))
    assert runner.asked[1].history == (("What color is it?", "You asked: What color is it?"),)


def test_the_same_question_again_repeats_its_turn(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    session = last(ask(runner, Session(), form))
    last(ask(runner, session, {**form, "strategy": "full"}))
    assert runner.asked[1].history == ()


def test_a_repeated_question_counts_once_in_the_history(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    session = last(ask(runner, last(ask(runner, Session(), form)), form))
    last(ask(runner, session, {**form, "text": "And its shape?"}))
    assert len(runner.asked[2].history) == 1


def test_another_picture_begins_a_new_history(runner: ScriptedRunner, form: dict[str, Any], tmp_path: Path) -> None:
    session = last(ask(runner, Session(), form))
    other = tmp_path / "other.png"
    other.write_bytes(Path(str(form["file"])).read_bytes())
    last(ask(runner, session, {**form, "text": "And here?", "file": str(other)}))
    assert runner.asked[1].history == ()


def test_a_failed_turn_is_shown_and_not_told_to_the_model(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    failed = last(ask(runner, Session(), {**form, "strategy": "as_is"}))
    assert failed.last is not None
    assert failed.last.failure is not None
    assert remedies(failed) == ("autocast", "unified", "full")
    last(ask(runner, failed, {**form, "text": "And its shape?"}))
    assert runner.asked[1].history == ()


def test_a_failure_is_shown_while_its_remedies_are_tried_and_kept_by_a_stop(
    runner: ScriptedRunner, form: dict[str, Any]
) -> None:
    steps = ask(runner, Session(), {**form, "strategy": "as_is"})
    trying = next(step for step in steps if step.trials is not None)
    assert trying.running is not None and trying.trials is not None
    assert (trying.trials.failure, trying.trials.pending) == (FAILURE, ("autocast", "unified", "full"))
    kept = stopped(trying, runner.status())
    assert kept.last is not None
    assert (kept.last.failure, kept.last.stopped, kept.trials) == (FAILURE, False, None)
    assert last(steps).trials is None


def test_a_cure_repeats_question_and_picture_under_its_strategy(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    failed = last(ask(runner, Session(), {**form, "strategy": "as_is"}))
    again = remedy(failed, {**form, "text": "something typed since", "file": None, "seed": 3}, "unified")
    assert (again["text"], again["file"], again["strategy"], again["seed"]) == (
        form["text"],
        form["file"],
        "unified",
        3,
    )
    assert remedies(last(ask(runner, failed, again))) == ()


def test_closing_the_handler_stops_the_run(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    steps = ask(runner, Session(), form)
    next(steps), next(steps)
    steps.close()
    assert runner.closed == 1
    assert runner.lock.acquire(blocking=False)


def test_a_stop_keeps_what_there_is(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    steps = ask(runner, Session(), form)
    next(steps)
    running = next(steps)
    steps.close()
    ended = stopped(running, runner.status())
    assert ended.running is None
    assert ended.last is not None
    assert (ended.last.answer, ended.last.stopped) == ("You", True)
    assert ended.last.measurement.latency_sec is None


def test_a_stop_with_nothing_running_changes_nothing(runner: ScriptedRunner) -> None:
    assert stopped(Session(), runner.status()) == Session()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"text": "   "}, "empty_question"),
        ({"text": "x" * 100_000}, "long_question"),
        ({"text": "<ImageHere><ImageHere> what?"}, "image_marks"),
        ({"text": "[UNUSED_TOKEN_146]system"}, "control_token"),
        ({"file": None}, "no_picture"),
        ({"strategy": "magic"}, "unknown_strategy"),
        ({"max_new_tokens": 0}, "out_of_range"),
        ({"seed": 1.5}, "not_whole"),
    ],
)
def test_a_users_mistake_is_a_notice_and_loses_nothing(
    runner: ScriptedRunner, form: dict[str, Any], change: dict[str, object], code: str
) -> None:
    before = last(ask(runner, Session(), form))
    after = last(ask(runner, before, {**form, **change}))  # type: ignore[arg-type]
    assert after.notice is not None
    assert after.notice.code == code
    assert replace(after, notice=None) == before
    assert last(ask(runner, after, form)).notice is None


def test_a_broken_picture_is_a_notice(runner: ScriptedRunner, form: dict[str, Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    after = last(ask(runner, Session(), {**form, "file": str(broken)}))
    assert after.notice is not None
    assert str(tmp_path) not in str(after.notice)
    assert runner.asked == []


def test_a_refusal_of_the_runner_is_a_notice(form: dict[str, Any]) -> None:
    runner = ScriptedRunner(refuse=UserError("no_cuda"))
    assert last(ask(runner, Session(), form)).notice is runner.refuse


def test_a_bug_is_not_hidden(form: dict[str, Any]) -> None:
    def broken(_: object) -> str:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        list(ask(ScriptedRunner(answer=broken), Session(), form))


def test_the_endpoint_answers_without_a_picture(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    assert run_once(runner, {**form, "file": None})["answer"] == "You asked: What color is it?"


def test_the_oldest_runs_leave_the_table(
    runner: ScriptedRunner, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xcomposer_ui.ui.session.MOST_RUNS", 2)
    session = Session()
    for number in range(3):
        session = last(ask(runner, session, {**form, "text": f"{number}?"}))
    assert [run.request.text for run in session.runs] == ["1?", "2?"]


def test_clearing_begins_a_new_conversation_and_keeps_the_runs(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    cleared = last(ask(runner, Session(), form)).cleared()
    assert cleared.turns == ()
    assert len(cleared.runs) == 1


def test_a_run_leaves_a_report_of_itself_and_of_all_that_was_asked(
    runner: ScriptedRunner, form: dict[str, Any]
) -> None:
    done = last(ask(runner, Session(), {**form, "seed": 11, "temperature": 0.5}))
    assert done.report is not None
    assert done.report["runs"][0]["answer"] == "You asked: What color is it?"
    assert (done.report["question"]["seed"], done.report["question"]["temperature"]) == (11, 0.5)
    assert done.report["question"]["image"]["width"] == 64
    assert (
        done.report["question"]["image"]["file_sha256"] == hashlib.sha256(Path(form["file"]).read_bytes()).hexdigest()
    )
    assert {"python", "torch", "transformers", "xcomposer_ui", "device", "driver"} <= set(done.report["environment"])
    assert done.turns[-1].request == request_from({**form, "seed": 11, "temperature": 0.5}).without_image()
    assert done.cleared().report is None


def test_the_report_tells_of_the_conversation_before(runner: ScriptedRunner, form: dict[str, Any]) -> None:
    first = last(ask(runner, Session(), form))
    done = last(ask(runner, first, {**form, "text": "And where?"}))
    assert done.report is not None
    assert done.report["question"]["history"] == [["What color is it?", "You asked: What color is it?"]]


def test_a_stopped_run_has_a_report_too_unless_its_picture_is_gone(
    runner: ScriptedRunner, form: dict[str, Any]
) -> None:
    going = replace(Session().started(request_from(form)), draft="You")
    ended = stopped(going, runner.status())
    assert ended.report is not None
    assert ended.report["runs"][0]["stopped"]
    Path(form["file"]).unlink()
    assert stopped(going, runner.status()).report is None
