"""Many questions: results as they come, bad lines skipped, resumed after an end in the middle."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image

from tests.compare.scripted import ScriptedRunner
from xcomposer_ui.compare.batch import BatchEvent, Results, compare_file
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings
from xcomposer_ui.compare.summary import distribution, summarize
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event
from xcomposer_ui.core.jsonl import Recorded, Skipped
from xcomposer_ui.core.request import Request

PLAN = ComparisonSettings(repeats=1)
SETTINGS = {"model": "embedded"}
LINES = [
    '{"question": "What is there?", "image": "a.png", "id": "first"}',
    "not json",
    "",
    '{"question": "Where?", "image": "missing.png"}',
    '{"question": "How many?", "seed": 3, "max_new_tokens": 5}',
    '{"question": "Many?", "seed": "three"}',
    '{"question": " "}',
    '{"image": "a.png"}',
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(LINES), encoding="utf-8")
    return file


def batch(file: Path, runner: ScriptedRunner | None = None, settings: dict | None = None) -> list[BatchEvent]:
    results = Results(file.with_name("out"), settings or SETTINGS)
    return [
        event
        for event in compare_file(runner or ScriptedRunner(), file, results, PLAN, {})
        if not isinstance(event, ComparisonProgress)
    ]


def test_good_lines_are_compared_and_bad_ones_named_and_skipped(file: Path) -> None:
    told = batch(file)
    assert [(type(event), event.line) for event in told] == [
        (Recorded, 1), (Skipped, 2), (Skipped, 4), (Recorded, 5), (Skipped, 6), (Skipped, 7), (Skipped, 8),
    ]  # fmt: skip
    reasons = {event.line: event.reason for event in told if isinstance(event, Skipped)}
    assert "Line 2 is no question" in reasons[2]
    assert "missing.png" in reasons[4]
    assert "seed" in reasons[6]


@pytest.mark.parametrize("code", ["long_prompt", "no_tiles"])
def test_a_mistake_that_only_the_run_finds_is_its_lines(file: Path, code: str) -> None:
    class Refusing(ScriptedRunner):
        def run(self, request: Request) -> Generator[Event, None, None]:
            if request.seed == 3:
                raise UserError(code, tokens=2, longest=1)
            yield from super().run(request)

    told = batch(file, Refusing())
    assert [event.line for event in told if isinstance(event, Recorded)] == [1]
    assert str(UserError(code, tokens=2, longest=1)) in [e.reason for e in told if isinstance(e, Skipped)]


def test_both_files_hold_every_run(file: Path) -> None:
    batch(file)
    records = [json.loads(line) for line in file.with_name("out.jsonl").read_text().splitlines()]
    assert [(r["line"], r["id"]) for r in records] == [(1, "first"), (5, None)]
    assert records[0]["question"]["image"]["width"] == 8
    assert records[1]["question"]["seed"] == 3
    assert "layers" not in records[0]["divergence"][0]
    with file.with_name("out.csv").open(newline="") as table:
        read = list(csv.DictReader(table))
    assert [(row["line"], row["strategy"]) for row in read][:4] == [
        ("1", "as_is"), ("1", "autocast"), ("1", "unified"), ("1", "full"),
    ]  # fmt: skip
    assert len(read) == 8


def test_it_goes_on_where_it_ended_even_in_the_middle_of_a_line(file: Path) -> None:
    batch(file)
    out = file.with_name("out.jsonl")
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.index(b"\n") + 100])
    file.with_name("out.csv").write_text("cut")
    runner = ScriptedRunner()
    told = [event for event in batch(file, runner) if isinstance(event, Recorded)]
    assert [(event.line, event.resumed) for event in told] == [(1, True), (5, False)]
    assert {new for _, _, new in runner.asked} == {2, 5}
    assert len(out.read_text().splitlines()) == 2
    assert len(file.with_name("out.csv").read_text().splitlines()) == 9


def test_a_line_that_changed_is_asked_anew(file: Path) -> None:
    batch(file)
    file.write_text(file.read_text().replace("How many?", "How few?"))
    told = [event for event in batch(file) if isinstance(event, Recorded)]
    assert [(event.line, event.resumed) for event in told] == [(1, True), (5, False)]


def test_results_of_other_settings_are_not_mixed(file: Path) -> None:
    batch(file)
    with pytest.raises(UserError) as caught:
        batch(file, settings={"model": "other"})
    assert caught.value.code == "batch_other_settings"


@pytest.mark.parametrize(("text", "code"), [(None, "unreadable_text"), ("\n \n", "batch_empty")])
def test_a_file_without_questions_is_a_sentence(tmp_path: Path, text: str | None, code: str) -> None:
    file = tmp_path / "none.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as caught:
        batch(file)
    assert caught.value.code == code


def test_the_tally_counts_agreement_and_gives_distributions(file: Path) -> None:
    records = [event.record for event in batch(file) if isinstance(event, Recorded)]
    by_strategy = {entry["strategy"]: entry for entry in summarize(records)}
    assert by_strategy["autocast"]["agreement_rate"] == 1
    assert by_strategy["unified"]["agreement_rate"] == 0
    assert by_strategy["as_is"]["agreement_rate"] is None
    assert (by_strategy["as_is"]["failed"], by_strategy["as_is"]["answered"]) == (2, 0)
    assert by_strategy["unified"]["distributions"]["mean_kl_divergence"]["count"] == 2
    assert by_strategy["as_is"]["distributions"]["latency_sec"] is None


def test_a_distribution_is_of_what_was_measured() -> None:
    assert distribution([None, 4.0, 1.0, 2.0, 3.0, None, 5.0]) == {
        "lowest": 1.0, "lower_quartile": 2.0, "median": 3.0, "upper_quartile": 4.0, "highest": 5.0, "count": 5,
    }  # fmt: skip
    assert distribution([None]) is None
    assert distribution([2.0])["upper_quartile"] == 2.0  # type: ignore[index]
