"""Many questions: a JSONL file in, a JSONL and a CSV file out, a line as each is done; it goes on where it ended.

A line of the input: {"question": …, "image": a path, from the file's own folder, or left out, "id": anything,
"max_new_tokens", "temperature", "seed": as on the command line}.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xcomposer_ui.compare.about import question_as_json
from xcomposer_ui.compare.comparing import Plan, Runs, Step, compare
from xcomposer_ui.compare.comparison import comparison_as_json
from xcomposer_ui.compare.table import FIELDS, as_csv, rows
from xcomposer_ui.errors import UserError
from xcomposer_ui.question import checked_question
from xcomposer_ui.records import Question

EXAMPLE = '{"image": "circle.png", "question": "What is there?"}'
OPTIONS: dict[str, tuple[type, ...]] = {
    "max_new_tokens": (int,), "temperature": (int, float), "top_p": (int, float),
    "repetition_penalty": (int, float), "seed": (int,),
}  # fmt: skip
CSV_FIELDS = ("line", "id", "question", *FIELDS)


@dataclass(frozen=True)
class Line:
    """One line of the input. number: from 1."""

    number: int
    text: str


@dataclass(frozen=True)
class Skipped:
    """A line that is no question, or whose picture is none; the others go on. reason: a sentence."""

    line: int
    reason: str


@dataclass(frozen=True)
class Working:
    """A line is being compared."""

    line: int
    step: Step


@dataclass(frozen=True)
class Done:
    """A line's record, as it stands in the JSONL. resumed: it was there from before."""

    line: int
    record: dict[str, Any]
    resumed: bool = False


Told = Skipped | Working | Done


class Results:
    """The two files of a batch: the JSONL is the truth, the CSV its table.

    Raises UserError where the JSONL holds results of other settings.
    """

    def __init__(self, stem: Path, settings: dict[str, Any]) -> None:
        self.jsonl = stem.with_name(stem.name + ".jsonl")
        self.csv = stem.with_name(stem.name + ".csv")
        self.settings = settings
        self.records = list(self._read())
        self._rewrite()

    def done(self, line: Line) -> dict[str, Any] | None:
        """The record of `line` from before, if its text is still the same."""
        return next((r for r in self.records if (r["line"], r["sha256"]) == (line.number, _hash(line.text))), None)

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        """Write one line's record to both files."""
        record = {"line": line.number, "sha256": _hash(line.text), "settings": self.settings, **entry}
        self.records.append(record)
        with self.jsonl.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        with self.csv.open("a", encoding="utf-8", newline="") as file:
            file.write(as_csv(CSV_FIELDS, _csv_rows(record), heading=False))
        return record

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self.jsonl.exists():
            return
        for text in self.jsonl.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(text)
            except ValueError:  # cut off in the middle of a line: that question is asked again
                continue
            if not isinstance(record, dict) or record.get("settings") != self.settings:
                raise UserError("batch_other_settings", file=self.jsonl.name)
            yield record

    def _rewrite(self) -> None:
        """Both files anew from the records that are whole."""
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in self.records]
        self.jsonl.write_text("".join(lines), encoding="utf-8")
        table = as_csv(CSV_FIELDS, (row for record in self.records for row in _csv_rows(record)))
        self.csv.write_text(table, encoding="utf-8", newline="")


def compare_many(
    runner: Runs, file: Path, results: Results, plan: Plan, defaults: Question
) -> Generator[Told, None, None]:
    """Compare each line of `file`. Closing the generator stops; what is done is in the files.

    Raises UserError where the file cannot be read or holds nothing, and for a mistake that every line would share.
    """
    lines = read_lines(file)
    for line in lines:
        if (before := results.done(line)) is not None:
            yield Done(line.number, before, resumed=True)
            continue
        try:
            question, name = question_of(line, file.parent, defaults)
        except UserError as mistake:
            yield Skipped(line.number, str(mistake))
            continue
        entry = yield from _compared(runner, line, question, plan)
        yield Done(line.number, results.add(line, {"id": name, **entry}))


def read_lines(file: Path) -> list[Line]:
    """The lines of `file` that are not blank. Raises UserError where there is none."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError("unreadable_text", file=file.name, what=error.strerror or "") from error
    lines = [Line(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError("batch_empty", file=file.name, example=EXAMPLE)
    return lines


def question_of(line: Line, folder: Path, defaults: Question) -> tuple[Question, Any]:
    """(question, id) that `line` asks. Raises UserError with what is wrong."""

    def wrong(what: str) -> UserError:
        return UserError("batch_line", line=line.number, what=what, example=EXAMPLE)

    try:
        asked = json.loads(line.text)
    except ValueError as error:
        raise wrong(f"not JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str):
        raise wrong("“question” is missing")
    image = asked.get("image")
    if image is not None and not isinstance(image, str):
        raise wrong("“image” is not a path")
    options = {name: asked[name] for name in OPTIONS if asked.get(name) is not None}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, OPTIONS[name]):
            raise wrong(f"“{name}” is not a number of its kind")
    from xcomposer_ui.images import open_picture  # brings Pillow, which `explain` need not wait for

    picture = open_picture(str(folder / image)) if image else None
    question = replace(defaults, text=asked["question"], image=picture, **options)
    return checked_question(question), asked.get("id")


def settings_of(plan: Plan, defaults: Question, model: str, device: str, half: str) -> dict[str, Any]:
    """What all records of one output have in common."""
    return {
        "model": plan.model or model,
        "device": plan.device or device,
        "halves": list(plan.halves or (half,)),
        "repeats": plan.repeats,
        "divergence": plan.divergence,
        "max_new_tokens": defaults.max_new_tokens,
        "temperature": defaults.temperature,
        "seed": defaults.seed,
    }


def _compared(runner: Runs, line: Line, question: Question, plan: Plan) -> Generator[Working, None, dict[str, Any]]:
    steps = compare(runner, question, plan)
    last: Step | None = None
    try:
        for last in steps:
            yield Working(line.number, last)
    finally:
        steps.close()
    assert last is not None
    document = comparison_as_json(last.comparison)
    # The modules' figures of a thousand questions would be gigabytes; one question's are `compare`'s.
    for entry in [*document["divergence"], *([document["floor"]] if document["floor"] else [])]:
        del entry["layers"]
    return {"question": question_as_json(question), **document}


def _csv_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"line": record["line"], "id": record["id"], "question": record["question"]["text"]}
    return [{**head, **row} for row in rows(record)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
