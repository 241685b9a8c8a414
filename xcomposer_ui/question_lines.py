"""Questions from a JSONL file: one a line, judged line by line, so that a bad line costs itself alone.

A line: {"question": …, "image": a path, from the file's own folder, or left out, "id": anything,
"max_new_tokens", "temperature", "top_p", "repetition_penalty", "seed", "hd_num": as on the command line}.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.errors import UserError
from xcomposer_ui.question import checked_question
from xcomposer_ui.records import Question

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
    from xcomposer_ui.images import open_picture  # brings Pillow, which `explain` need not wait for

    picture = open_picture(str(folder / image)) if image else None
    question = replace(defaults, text=asked["question"], image=picture, **options)
    return checked_question(question), asked.get("id")
