"""Many questions under one strategy: JSONL in, a result a line out; several are asked at once where that is exact."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import FinishedBatch, Loading, Waiting
from xcomposer_ui.core.jsonl import Line, question_of, read_lines
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import RunResult, result_as_json

BATCH_SIZE = 8
"""Questions asked at once unless told otherwise."""


class RunsBatches(Protocol):
    """What this needs of the runner."""

    def run_batch(
        self, questions: Sequence[Question], strategy: str, half: str | None = None
    ) -> Generator[Waiting | Loading | FinishedBatch, None, None]: ...


class Results(Protocol):
    """Where the results go; `ResultLines` is one."""

    def done(self, line: Line) -> dict[str, Any] | None: ...

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Skipped:
    """A line that is no question, or whose picture is none; the others go on. reason: a sentence."""

    line: int
    reason: str


@dataclass(frozen=True)
class Answered:
    """A line's record, as it was written. resumed: it was there from before."""

    line: int
    record: dict[str, Any]
    resumed: bool = False


@dataclass(frozen=True)
class Halved:
    """`asked` questions at once did not fit into memory; `fitted` do, and no more are asked at once from now on."""

    asked: int
    fitted: int


Told = Skipped | Answered | Halved | Waiting | Loading


@dataclass(frozen=True)
class _Asked:
    line: Line
    question: Question
    id: Any


def ask_many(
    runner: RunsBatches,
    file: Path,
    results: Results,
    strategy: str,
    half: str | None,
    defaults: Question,
    batch_size: int = BATCH_SIZE,
) -> Generator[Told, None, None]:
    """Ask each line of `file`, up to `batch_size` at once. Closing the generator stops; what is done is in `results`.

    Questions of the same settings are asked together where they are greedy: a sampled answer would hang on its
    neighbours. Raises UserError where the file cannot be read or holds nothing, where batch_size is out of range, and
    for a mistake that every line would share.
    """
    if not 1 <= batch_size <= 1024:
        raise UserError("out_of_range", name="batch_size", value=batch_size, lowest=1, highest=1024)
    waiting: list[_Asked] = []
    for told in _questions(file, results, defaults):
        if not isinstance(told, _Asked):
            yield told
            continue
        if waiting and not _together(waiting[0].question, told.question):
            while waiting:
                batch_size = yield from _ask(runner, waiting, results, strategy, half, batch_size)
        waiting.append(told)
        while len(waiting) >= batch_size:
            batch_size = yield from _ask(runner, waiting, results, strategy, half, batch_size)
    while waiting:
        batch_size = yield from _ask(runner, waiting, results, strategy, half, batch_size)


def _questions(file: Path, results: Results, defaults: Question) -> Iterator[_Asked | Skipped | Answered]:
    """The lines of `file` in their order: to be asked, bad, or done before. Pictures are opened as they come."""
    for line in read_lines(file):
        if (before := results.done(line)) is not None:
            yield Answered(line.number, before, resumed=True)
            continue
        try:
            question, name = question_of(line, file.parent, defaults)
        except UserError as mistake:
            yield Skipped(line.number, str(mistake))
            continue
        yield _Asked(line, question, name)


def _together(one: Question, other: Question) -> bool:
    """Whether both may be asked in one call: greedily, and with the same settings."""
    return one.temperature == 0 and _settings(one) == _settings(other)


def _settings(question: Question) -> tuple[object, ...]:
    q = question
    return q.max_new_tokens, q.temperature, q.top_p, q.repetition_penalty, q.seed, q.hd_num


def _ask(
    runner: RunsBatches, waiting: list[_Asked], results: Results, strategy: str, half: str | None, batch_size: int
) -> Generator[Told, None, int]:
    """Ask the first of `waiting` and take them out; returns how many may be asked at once from now on."""
    asked = waiting[:batch_size]
    events = runner.run_batch([one.question for one in asked], strategy, half)
    try:
        for event in events:
            if not isinstance(event, FinishedBatch):
                yield event
                continue
            if event.size < len(asked):
                yield Halved(len(asked), event.size)
                batch_size = event.size
            if not event.results:
                raise RuntimeError("the runner ended a batch without a result")
            for one, result in zip(asked, event.results, strict=False):
                record = results.add(one.line, _entry(one, result))
                del waiting[0]
                yield Answered(one.line.number, record)
    finally:
        events.close()
    return batch_size


def _entry(asked: _Asked, result: RunResult) -> dict[str, Any]:
    return {"id": asked.id, "question": asked.question.text, **result_as_json(result)}


class Printed:
    """Results that go to `write`, a line each, and are not remembered: nothing is resumed."""

    def __init__(self, settings: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        self.settings = settings
        self._write = write

    def done(self, line: Line) -> dict[str, Any] | None:
        return None

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        record = {"line": line.number, "sha256": line.sha256, "settings": self.settings, **entry}
        self._write(record)
        return record
