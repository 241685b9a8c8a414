"""Requests from a JSONL file, one per line, and resumable results in another.

A line: {"question": …, "image": a path relative to the file's folder, or left out, "id": anything, and any of the
settings of a request by its name}. A bad line is reported and skipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.files import append_whole, read_text, write_whole
from xcomposer_ui.core.request import Request, settings_of, with_defaults

OF_ONE_LINE = ("long_prompt", "no_tiles")
"""Mistakes of one line that are found when its request is run; any other one affects every line."""

EXAMPLE = '{"image": "circle.png", "question": "What is there?"}'


@dataclass(frozen=True)
class Line:
    """One line of the input. number: from 1."""

    number: int
    text: str

    @property
    def sha256(self) -> str:
        """Of the text, in hexadecimal: a result is valid for this line only while the text is the same."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class EarlierResults(Protocol):
    """Results by line."""

    def done(self, line: Line) -> dict[str, Any] | None:
        """The record of `line`; None where it has none."""


@dataclass(frozen=True)
class Skipped:
    """A line that is not a valid request, or whose picture cannot be read. reason: a sentence."""

    line: int
    reason: str


@dataclass(frozen=True)
class Recorded:
    """A line's record, as it was written. resumed: whether an earlier batch wrote it."""

    line: int
    record: dict[str, Any]
    resumed: bool = False


@dataclass(frozen=True)
class Pending:
    """A line without a result, its request, and the id that it gives itself."""

    line: Line
    request: Request
    id: Any


def read_lines(file: Path) -> list[Line]:
    """The lines of `file` that are not blank. Raises UserError where there is none or the file cannot be read."""
    text = read_text(file, errors="replace")
    lines = [Line(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError("batch_empty", file=file.name, example=EXAMPLE)
    return lines


def first_request(file: Path, defaults: Mapping[str, Any], results: EarlierResults) -> Request | None:
    """The first request of `file` without a result; None where each has one. Raises UserError as `read_lines` does."""
    events = read_requests(file, results, defaults)
    return next((event.request for event in events if isinstance(event, Pending)), None)


def read_requests(
    file: Path, results: EarlierResults, defaults: Mapping[str, Any]
) -> Iterator[Pending | Skipped | Recorded]:
    """The lines of `file` in order. Each picture is opened when its line is reached. Raises as `read_lines` does.

    defaults: values of the request's fields that a line leaves out.
    """
    for line in read_lines(file):
        if (record := results.done(line)) is not None:
            yield Recorded(line.number, record, resumed=True)
            continue
        try:
            request, name = request_of(line, file.parent, defaults)
        except UserError as mistake:
            yield Skipped(line.number, str(mistake))
        else:
            yield Pending(line, request, name)


def request_of(
    line: Line, folder: Path, defaults: Mapping[str, Any], record: type[Request] = Request
) -> tuple[Request, Any]:
    """(request, id) of `line`. Raises UserError where the line is not a valid request.

    Args:
        folder: that the picture's path is relative to.
        defaults: values of the fields that the line leaves out.
    """

    def wrong(what: str) -> UserError:
        return UserError("batch_line", line=line.number, what=what, example=EXAMPLE)

    try:
        given = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        raise wrong(f"not JSON: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get("question"), str):
        raise wrong("“question” is missing")
    image = given.get("image")
    if image is not None and not isinstance(image, str):
        raise wrong("“image” is not a path")
    values = {}
    for setting in settings_of(record):
        if (value := given.get(setting.name)) is not None:
            if not setting.is_kind(value):
                raise wrong(f"“{setting.name}” is not a number of its kind")
            values[setting.name] = value
    from xcomposer_ui.core.images import open_picture  # imports Pillow, which `explain` does not wait for

    picture = open_picture(str(folder / image)) if image else None
    return record(**{**defaults, "text": given["question"], "image": picture, **values}), given.get("id")


class ResultLines:
    """The records of a batch in a JSONL file: each has its line's number and hash, and the settings of the whole batch.

    A setting that a record does not name has its default value. Raises UserError where the file holds records of other
    settings, or cannot be read and written.
    """

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self.file = file
        self.settings = settings
        found = read_text(file, errors="replace", newline="") if file.exists() else ""
        self.records = list(self._read(found))
        self._by_line = {(record["line"], record["sha256"]): record for record in self.records}
        whole = "".join(_as_line(record) for record in self.records)
        if whole != found:  # the next line must not be appended to a truncated one
            write_whole(self.file, whole)
        append_whole(self.file, "")  # raises now, not after the first answers, where the file cannot be written

    def done(self, line: Line) -> dict[str, Any] | None:
        """The record of `line`; None where there is none, or the line's text has changed."""
        return self._by_line.get((line.number, line.sha256))

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        """Write one line's record: `entry` with the line's number and hash, and the settings."""
        record = {"line": line.number, "sha256": line.sha256, "settings": self.settings, **entry}
        append_whole(self.file, _as_line(record))
        self.records.append(record)
        self._by_line[line.number, line.sha256] = record
        return record

    def _read(self, found: str) -> Iterator[dict[str, Any]]:
        # Not `splitlines`: it also splits at characters that may occur within an answer.
        lines = [text for text in found.split("\n") if text.strip()]
        for n, text in enumerate(lines, 1):
            try:
                record = json.loads(text)
            except ValueError as error:
                if n == len(lines) and text.startswith("{"):  # truncated: that request is run again
                    return
                raise UserError("not_results", file=self.file.name) from error
            if not isinstance(record, dict) or not {"line", "sha256", "settings"} <= record.keys():
                raise UserError("not_results", file=self.file.name)
            if with_defaults(record["settings"]) != with_defaults(self.settings):
                raise UserError("batch_other_settings", file=self.file.name)
            yield record


def _as_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
