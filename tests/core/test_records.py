"""Records as JSON data and back; data of another form is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.requests import result_of
from tests.ui.scripted import FAILURE, MEASURED
from xcomposer_ui.core.messages import Message, Text
from xcomposer_ui.core.records import record_as_data, record_from_data
from xcomposer_ui.core.request import Request
from xcomposer_ui.ui.session import MOST_CHARACTERS, Session, SessionRun, kept_session, restored_session

EXPLAINED = replace(
    FAILURE, explanation=replace(FAILURE.explanation, title=Message("work.trace"), cause=Text("a", "b"))
)
RUN = SessionRun(
    Request("What?", file="a.png", history=(("q", "a"),)), result_of("as_is", MEASURED, failure=EXPLAINED),
    "data:image/jpeg;base64,AA",
)  # fmt: skip


def same(file: str | None) -> str | None:
    return file


def test_a_run_is_the_same_after_json() -> None:
    assert record_from_data(SessionRun, json.loads(json.dumps(record_as_data(RUN)))) == RUN


@pytest.mark.parametrize(
    "change",
    [
        {"request": {"text": ""}},
        {"request": {"text": 5}},
        {"request": {"text": "a", "strategy": "none"}},
        {"request": {"text": "a", "unknown": 1}},
        {"request": {"text": "a", "seed": -1}},
        {"result": None},
        {"thumbnail": {"code": "work.trace"}},
    ],
)
def test_data_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        record_from_data(SessionRun, {**record_as_data(RUN), **change})


def test_a_message_that_cannot_be_worded_is_refused() -> None:
    for data in ({"code": "no.such", "facts": {}}, {"code": "work.load", "facts": {"other": "m"}}):
        with pytest.raises(ValueError):
            record_from_data(Message, data)


def test_the_browser_keeps_the_last_runs_and_the_conversation_among_them() -> None:
    runs = tuple(replace(RUN, request=replace(RUN.request, text=f"question {n}")) for n in range(40))
    kept = json.loads(json.dumps(kept_session(Session(turns=runs[38:], runs=runs), same)))
    session = restored_session(kept, same)
    assert session.runs == runs[10:]
    assert session.turns == runs[38:]
    assert session.restored


def test_what_is_kept_is_bounded() -> None:
    long = replace(RUN, result=replace(RUN.result, answer="x" * 100_000))
    kept = kept_session(Session(runs=(long,) * 30), same)
    assert 0 < len(json.dumps(kept)) <= MOST_CHARACTERS + 1000


@pytest.mark.parametrize(
    "data", [None, "text", {}, {"runs": [1]}, {"runs": [], "turns": [3]}, {"runs": [{"request": {}}], "turns": []}]
)
def test_what_cannot_be_read_is_a_new_session(data: object) -> None:
    assert restored_session(data, same) == Session()


def test_a_thumbnail_is_a_jpeg_and_a_picture_of_the_visitors_own_is_not_kept() -> None:
    kept = kept_session(Session(runs=(RUN,)), lambda file: None)
    assert restored_session(kept, same).runs[0].request.file is None
    kept["runs"][0]["thumbnail"] = "https://example.org/a.jpg"
    assert restored_session(kept, same) == Session()
