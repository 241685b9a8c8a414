"""The progress in the browser: the first answer counts, and what is no answer is left out."""

from __future__ import annotations

import json
from dataclasses import replace

from xcomposer_ui.lesson.progress import Answer, Progress
from xcomposer_ui.lesson.step import lesson

FIRST, SECOND = lesson()[:2]


def test_progress_survives_the_browsers_json() -> None:
    progress = Progress().with_answer(FIRST.name, Answer(FIRST.expected, True))
    progress = replace(progress.with_answer(SECOND.name, Answer("busy", False)), place=SECOND.name)
    assert Progress.from_browser(json.loads(json.dumps(progress.for_browser()))) == progress
    assert progress.right == 1


def test_the_first_answer_counts() -> None:
    progress = Progress().with_answer(FIRST.name, Answer("exact", False))
    assert progress.with_answer(FIRST.name, Answer(FIRST.expected, True)) == progress


def test_what_is_no_answer_is_left_out() -> None:
    stored = {FIRST.name: {"choice": "nonsense", "right": True}, "other": {}, SECOND.name: "same"}
    for nothing in (stored, None, [], "text", {FIRST.name: None}):
        assert Progress.from_browser(nothing) == Progress()
    assert Progress.from_browser({FIRST.name: {"choice": "exact", "right": "yes"}}).right == 0
