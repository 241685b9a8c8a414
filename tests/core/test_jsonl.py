"""Results line by line: resumed where they ended, never written over what is no result."""

from __future__ import annotations

from pathlib import Path

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.jsonl import Line, ResultLines

SETTINGS = {"model": "embedded"}
FIRST, SECOND = Line(1, '{"question": "a"}'), Line(2, '{"question": "b"}')


def test_records_are_there_again_also_with_odd_line_ends_in_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    added = ResultLines(file, SETTINGS).add(FIRST, {"answer": "one\u2028two\x85three\nfour"})
    again = ResultLines(file, SETTINGS)
    assert again.done(FIRST) == added
    assert again.done(SECOND) is None
    assert again.done(Line(1, '{"question": "changed"}')) is None


def test_a_line_that_was_cut_off_is_asked_again_and_spoils_nothing(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    results = ResultLines(file, SETTINGS)
    results.add(FIRST, {"answer": "one"})
    results.add(SECOND, {"answer": "two"})
    file.write_text(file.read_text()[:-9])
    again = ResultLines(file, SETTINGS)
    assert again.done(FIRST) is not None
    assert again.done(SECOND) is None
    again.add(SECOND, {"answer": "two"})
    assert len(ResultLines(file, SETTINGS).records) == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("my notes\nof today\n", "not_results"),
        ('{"question": "a"}\n', "not_results"),
        ('{"line": 1, "sha256": "x", "settings": {"model": "other"}}\n', "batch_other_settings"),
    ],
)
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        ResultLines(file, SETTINGS)
    assert caught.value.code == code
    assert file.read_text() == text


def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ResultLines(tmp_path / "nowhere" / "out.jsonl", SETTINGS)
    assert caught.value.code == "unwritable_file"
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught:
        ResultLines(tmp_path / "folder", SETTINGS)
    assert caught.value.code == "unreadable_text"
