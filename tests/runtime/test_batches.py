"""Many questions under one strategy: together where that is exact, a bad line skipped, resumed, halved."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.__main__ import main
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import FinishedBatch, Loading
from xcomposer_ui.core.jsonl import Recorded, ResultLines, Skipped
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.runtime.batches import BatchEvent, Halved, run_file

DEFAULTS = {"strategy": "unified", "max_new_tokens": 5}
LINES = [
    '{"question": "One?", "image": "a.png", "id": "first"}',
    "not json",
    '{"question": "Two?", "image": "a.png"}',
    '{"question": "Where?", "image": "missing.png"}',
    '{"question": "Three?"}',
    '{"question": "Short?", "max_new_tokens": 2}',
    '{"question": "Sampled?", "temperature": 0.7}',
    '{"question": "Sampled again?", "temperature": 0.7}',
]


class ScriptedRunner:
    """Answers in words; at most `fits` at once. asked: the texts of each call."""

    def __init__(self, fits: int = 1024) -> None:
        self.fits = fits
        self.asked: list[list[str]] = []
        self.closed = 0

    def run_batch(self, requests: Sequence[Request]) -> Generator[Loading | FinishedBatch, None, None]:
        self.asked.append([request.text for request in requests])
        try:
            yield Loading("embedded", "float16")
            first = requests[: self.fits]
            results = tuple(
                RunResult(under(one, one.strategy, model="embedded"), "cpu", Measurement(), f"You asked: {one.text}")
                for one in first
            )
            yield FinishedBatch(results, len(first))
        finally:
            self.closed += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(LINES), encoding="utf-8")
    return file


def test_questions_of_other_tiles_are_asked_apart(file: Path) -> None:
    file.write_text('{"question": "Many?"}\n{"question": "Few?", "hd_num": 4}\n{"question": "x", "hd_num": 1.5}')
    runner = ScriptedRunner()
    told = ask(file, runner)
    assert runner.asked == [["Many?"], ["Few?"]]
    assert [event.line for event in told if isinstance(event, Skipped)] == [3]


def ask(file: Path, runner: ScriptedRunner, size: int = 8) -> list[BatchEvent]:
    results = ResultLines(file.with_name("out.jsonl"), {"model": "embedded"})
    told = run_file(runner, file, results, DEFAULTS, size)
    return [event for event in told if not isinstance(event, Loading)]


def test_greedy_questions_of_the_same_settings_are_asked_together(file: Path) -> None:
    runner = ScriptedRunner()
    told = ask(file, runner)
    assert runner.asked == [["One?", "Two?", "Three?"], ["Short?"], ["Sampled?"], ["Sampled again?"]]
    assert sorted(event.line for event in told if isinstance(event, Recorded)) == [1, 3, 5, 6, 7, 8]
    reasons = {event.line: event.reason for event in told if isinstance(event, Skipped)}
    assert set(reasons) == {2, 4}
    assert "Line 2 is no question" in reasons[2]
    assert "missing.png" in reasons[4]
    records = [json.loads(text) for text in file.with_name("out.jsonl").read_text().splitlines()]
    assert [(r["line"], r["id"], r["answer"]) for r in records[:2]] == [
        (1, "first", "You asked: One?"),
        (3, None, "You asked: Two?"),
    ]


def test_what_was_answered_is_not_asked_again(file: Path) -> None:
    whole = file.read_text()
    file.write_text("\n".join(LINES[:3]))
    ask(file, ScriptedRunner())
    file.write_text(whole)
    runner = ScriptedRunner()
    told = ask(file, runner)
    assert runner.asked[0] == ["Three?"]
    assert [event.line for event in told if isinstance(event, Recorded) and event.resumed] == [1, 3]
    file.write_text(whole.replace("Two?", "Changed?"))
    ask(file, runner := ScriptedRunner())
    assert runner.asked == [["Changed?"]]


def test_a_batch_that_does_not_fit_is_said_and_smaller_ones_follow(file: Path) -> None:
    file.write_text("\n".join(json.dumps({"question": f"{n}?"}) for n in range(7)))
    runner = ScriptedRunner(fits=2)
    told = ask(file, runner, 4)
    assert [event for event in told if isinstance(event, Halved)] == [Halved(4, 2)]
    assert [len(texts) for texts in runner.asked] == [4, 2, 2, 1]
    assert [event.line for event in told if isinstance(event, Recorded)] == [1, 2, 3, 4, 5, 6, 7]


def test_closing_stops_the_run_and_keeps_what_is_done(file: Path) -> None:
    runner = ScriptedRunner()
    told = run_file(runner, file, ResultLines(file.with_name("out.jsonl"), {}), DEFAULTS, 1)
    next(event for event in told if isinstance(event, Recorded))
    assert isinstance(next(event for event in told if not isinstance(event, Skipped)), Loading)
    told.close()
    assert runner.closed == 2
    assert len(ResultLines(file.with_name("out.jsonl"), {}).records) == 1


@pytest.mark.parametrize("size", [0, 2000])
def test_a_batch_size_out_of_range_is_a_mistake(file: Path, size: int) -> None:
    with pytest.raises(UserError) as caught:
        ask(file, ScriptedRunner(), size)
    assert caught.value.code == "out_of_range"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("model")))


def batch_command(file: Path, model: str, *more: str) -> int:
    how = ["--strategy", "full", "--model", model, "--max-new-tokens", "4", "--batch-size", "3"]
    return main(["run", "--batch", str(file), *how, *more])


def test_the_command_prints_results_or_resumes_its_output(
    file: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch_command(file, model, "--json") == 0
    *lines, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["line"] for record in lines] == [1, 3, 5, 6, 7, 8]
    assert all(record["failure"] is None and record["latency_sec"] > 0 for record in lines)
    assert [record["batch_size"] for record in lines] == [3, 3, 3, 1, 1, 1]
    assert (last["answered"], last["failed"], len(last["skipped"])) == (6, 0, 2)
    out = tmp_path / "answers.jsonl"
    assert batch_command(file, model, "--output", str(out)) == 0
    assert batch_command(file, model, "--output", str(out), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["resumed"] == 6
    assert [json.loads(line)["answer"] for line in out.read_text().splitlines()] == [r["answer"] for r in lines]
    alone = main(["run", "--question", "Three?", "--strategy", "full", "--model", model, "--max-new-tokens", "4"])
    assert alone == 0
    assert capsys.readouterr().out.strip() == lines[2]["answer"].strip()


def test_a_prompt_that_is_too_long_is_its_lines_mistake_and_the_others_are_answered(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "questions.jsonl"
    questions = ["One?", "word " * 1500, "Three?", "Four?"]
    file.write_text("\n".join(json.dumps({"question": question}) for question in questions), "utf-8")
    assert batch_command(file, model, "--json") == 0
    captured = capsys.readouterr()
    *records, last = [json.loads(line) for line in captured.out.splitlines()]
    assert [record["line"] for record in records] == [1, 3, 4]
    assert [skipped["line"] for skipped in last["skipped"]] == [2]
    assert "line 2 skipped: " in captured.err and "tokens" in last["skipped"][0]["reason"]


def test_tiles_of_a_line_are_its_mistake_and_those_of_a_flag_are_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "questions.jsonl"
    lines: list[dict[str, object]] = [
        {"question": "One?", "hd_num": 4},
        {"question": "Two?"},
        {"question": "3", "hd_num": 4},
    ]
    file.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert batch_command(file, model, "--json") == 0
    captured = capsys.readouterr()
    *records, last = [json.loads(line) for line in captured.out.splitlines()]
    assert [record["line"] for record in records] == [2]
    assert [skipped["line"] for skipped in last["skipped"]] == [1, 3]
    assert "line 1 skipped: hd_num is for tiled models" in captured.err
    assert batch_command(file, model, "--hd-num", "4") == 2
    assert "hd_num is for tiled models" in capsys.readouterr().err


def test_failures_are_results_and_the_exit_status_says_so(
    file: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch_command(file, model, "--strategy", "as_is") == 3
    records: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    failed = {record["line"] for record in records if record["failure"]}
    assert failed == {1, 3}  # those with a picture
    assert {fix["strategy"] for fix in records[0]["failure"]["explanation"]["fixes"] if fix["tried"]} > {"as_is"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--question", "What?"], "A batch brings its own questions"),
        (["--output", "/nowhere/out.jsonl"], "out.jsonl cannot be written"),
        (["--batch", "none.jsonl"], "none.jsonl cannot be read"),
    ],
)
def test_mistakes_exit_2(
    file: Path, model: str, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch_command(file, model, *more) == 2
    assert said in capsys.readouterr().err


def test_no_question_at_all_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--strategy", "full"]) == 2
    assert "Give --question" in capsys.readouterr().err
