"""Questions from a JSONL file, one a line, and resumable results in another.

A line: {"question": …, "image": a path relative to the file's folder, or left out, "id": anything,
"max_new_tokens", "temperature", "top_p", "repetition_penalty", "seed", "hd_num": as on the command line}. A bad line is
reported and skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Question, checked_question

EXAMPLE = '{"image": "circle.png", "question": "What is there?"}'
OPTIONS: dict[str, tuple[type, ...]] = {
    "max_new_tokens": (int,), "temperature": (int, float), "top_p": (int, float),
    "repetition_penalty": (int, float), "seed": (int,), "hd_num": (int,),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the input. number: from 1."""

    number: int
    text: str

    @property
    def sha256(self) -> str:
        """Of the text, in hexadecimal: by it a result is known to be this line's still."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Done(Protocol):
    """Where it is known which lines have their result already."""

    def done(self, line: Line) -> dict[str, Any] | None: ...


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


def first_question(file: Path, defaults: Question, results: Done) -> Question | None:
    """The first question of `file` that is to be asked, None where none is left. Raises UserError as `read_lines`."""
    for line in read_lines(file):
        if results.done(line) is None:
            with contextlib.suppress(UserError):  # told when its turn comes
                return question_of(line, file.parent, defaults)[0]
    return None


def question_of(line: Line, folder: Path, defaults: Question) -> tuple[Question, Any]:
    """(question, id) that `line` asks. Raises UserError with what is wrong."""

    def wrong(what: str) -> UserError:
        return UserError("batch_line", line=line.number, what=what, example=EXAMPLE)

    try:
        asked = json.loads(line.text)
    except (ValueError, RecursionError) as error:
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
    from xcomposer_ui.core.images import open_picture  # brings Pillow, which `explain` need not wait for

    picture = open_picture(str(folder / image)) if image else None
    question = replace(defaults, text=asked["question"], image=picture, **options)
    return checked_question(question), asked.get("id")


class ResultLines:
    """The records of a batch: each has its line's number and the hash of its text, and the settings of all.

    Raises UserError where the file holds records of other settings, or is none that can be read and written.
    """

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self.file = file
        self.settings = settings
        found = self._text()
        self.records = list(self._read(found))
        whole = "".join(_as_line(record) for record in self.records)
        if whole != found:  # what was cut off would spoil the line that is added after it
            self._replace(whole)
        self._append("")  # finds out now, not after an hour of answers, whether the file can be written

    def done(self, line: Line) -> dict[str, Any] | None:
        """The record of `line` from before, if its text is still the same."""
        return next((r for r in self.records if (r["line"], r["sha256"]) == (line.number, line.sha256)), None)

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        """Write one line's record, which is `entry` and what tells whose it is."""
        record = {"line": line.number, "sha256": line.sha256, "settings": self.settings, **entry}
        self.records.append(record)
        self._append(_as_line(record))
        return record

    def _read(self, found: str) -> Iterator[dict[str, Any]]:
        lines = [
            text for text in found.split("\n") if text.strip()
        ]  # an answer may hold what `splitlines` ends lines at
        for n, text in enumerate(lines, 1):
            try:
                record = json.loads(text)
            except ValueError as error:
                if n == len(lines) and text.startswith("{"):  # cut off in its middle: that question is asked again
                    return
                raise UserError("not_results", file=self.file.name) from error
            if not isinstance(record, dict) or not {"line", "sha256", "settings"} <= record.keys():
                raise UserError("not_results", file=self.file.name)
            if record["settings"] != self.settings:
                raise UserError("batch_other_settings", file=self.file.name)
            yield record

    def _text(self) -> str:
        if not self.file.exists():
            return ""
        try:
            with self.file.open(encoding="utf-8", errors="replace", newline="") as file:
                return file.read()
        except OSError as error:
            raise UserError("unreadable_text", file=self.file.name, what=error.strerror or "") from error

    def _append(self, text: str) -> None:
        try:
            with self.file.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise UserError("unwritable_file", file=self.file.name, what=error.strerror or "") from error

    def _replace(self, text: str) -> None:
        """`text` in the file's place, in one step: nothing is lost if the process ends here."""
        fresh = self.file.with_name(self.file.name + ".new")
        try:
            fresh.write_text(text, encoding="utf-8", newline="")
            fresh.replace(self.file)
        except OSError as error:
            raise UserError("unwritable_file", file=self.file.name, what=error.strerror or "") from error


def _as_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
