"""Results in a JSONL file, a line as each is there; a second start reads them and goes on where the first ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xcomposer_ui.errors import UserError
from xcomposer_ui.question_lines import Line


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
