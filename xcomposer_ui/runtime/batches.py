"""Run the requests of a JSONL file, one result per line; greedy requests with equal settings share a model call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import FinishedBatch, Loading, Waiting
from xcomposer_ui.core.jsonl import OF_ONE_LINE, EarlierResults, Line, Pending, Recorded, Skipped, read_requests
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import result_as_json
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.runtime.worker_pool import WorkerPool

BATCH_SIZE = 8
"""Requests in one call by default."""

MOST_AT_ONCE = 1024
"""Largest batch size that is accepted."""


class Results(EarlierResults, Protocol):
    """A sink for the results; `ResultLines` and `StreamedResults` implement it."""

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        """Write the result of `line`; returns the record as written."""


@dataclass(frozen=True)
class Halved:
    """`requested` requests in one call did not fit into memory; from now on, batches have at most `fitted`."""

    requested: int
    fitted: int


BatchEvent = Skipped | Recorded | Halved | Waiting | Loading


def run_file(
    runner: Runner, file: Path, results: Results, defaults: Mapping[str, Any], batch_size: int = BATCH_SIZE
) -> Generator[BatchEvent, None, None]:
    """Run each line of `file`, up to `batch_size` in one call. Closing the generator stops the run; `results` has
    what was written until then.

    defaults: fields of the request that a line may leave out, and those that all lines share: strategy, half, model.
    Only greedy requests share a call: a sampled answer would depend on the other requests in the batch.
    Raises UserError if the file cannot be read or is empty, if batch_size is out of range, and for a mistake that
    affects every line.
    """
    queue = BatchQueue(file, results, defaults, batch_size)
    while batch := queue.take():
        yield from queue.passed_over()
        events = runner.run_batch(requests_of(batch))
        try:
            for event in events:
                if isinstance(event, FinishedBatch):
                    yield from queue.record(batch, event)
                else:
                    yield event
        except UserError as mistake:
            if mistake.code not in OF_ONE_LINE:
                raise
            yield from queue.refused(batch, mistake)
        finally:
            events.close()
    yield from queue.passed_over()


def run_file_in(
    pool: WorkerPool, file: Path, results: Results, defaults: Mapping[str, Any], batch_size: int = BATCH_SIZE
) -> Generator[BatchEvent, None, None]:
    """`run_file` by the workers of `pool`: the same events and records, in any order, with the worker of each."""
    queue = BatchQueue(file, results, defaults, batch_size)
    for done in pool.completed(finished_batch, queue.take, requests_of):
        yield from queue.passed_over()
        if isinstance(done.result, UserError):
            yield from queue.refused(done.task, done.result)
        else:
            yield from queue.record(done.task, done.result, worker=done.worker_as_json)
    yield from queue.passed_over()


def finished_batch(runner: Runner, requests: Sequence[Request]) -> FinishedBatch:
    """The last event of a batch, computed in this process."""
    *_, last = runner.run_batch(requests)
    assert isinstance(last, FinishedBatch)
    return last


def requests_of(batch: Sequence[Pending]) -> list[Request]:
    return [one.request for one in batch]


class BatchQueue:
    """The requests of a file in batches that can share a call, and what becomes of them. Arguments as of `run_file`."""

    def __init__(self, file: Path, results: Results, defaults: Mapping[str, Any], size: int) -> None:
        if not 1 <= size <= MOST_AT_ONCE:
            raise UserError("out_of_range", name="batch_size", value=size, lowest=1, highest=MOST_AT_ONCE)
        self._results, self._size = results, size
        self._lines = read_requests(file, results, defaults)
        self._pending: list[Pending] = []
        self._passed_over: list[Skipped | Recorded] = []
        self._alone: set[int] = set()

    def take(self) -> list[Pending] | None:
        """The next batch; None where no request is left."""
        while len(self._pending) < self._size and self._shared() == len(self._pending):
            if (event := next(self._lines, None)) is None:
                break
            if isinstance(event, Pending):
                self._pending.append(event)
            else:
                self._passed_over.append(event)
        shared = min(self._shared(), self._size)
        batch, self._pending = self._pending[:shared], self._pending[shared:]
        return batch or None

    def passed_over(self) -> Generator[Skipped | Recorded, None, None]:
        """The lines met since the last call that need no run: invalid, or with a result."""
        events, self._passed_over = self._passed_over, []
        yield from events

    def record(
        self, batch: Sequence[Pending], finished: FinishedBatch, **facts: Any
    ) -> Generator[Halved | Recorded, None, None]:
        """Write the results of `batch`; requests without one are taken again. facts: further fields of the records."""
        if finished.size < len(batch):
            yield Halved(len(batch), finished.size)
            self._size = min(self._size, finished.size)
        if not finished.results:
            raise RuntimeError("the runner ended a batch without a result")
        self._pending[:0] = batch[len(finished.results) :]
        for one, result in zip(batch, finished.results, strict=False):
            entry = {"id": one.id, "question": one.request.text, **result_as_json(result), **facts}
            yield Recorded(one.line.number, self._results.add(one.line, entry))

    def refused(self, batch: Sequence[Pending], mistake: UserError) -> Generator[Skipped, None, None]:
        """Skip the line that `batch` is; of several, take each one again by itself, to find whose `mistake` it is."""
        if len(batch) == 1:
            yield Skipped(batch[0].line.number, str(mistake))
            return
        self._alone.update(one.line.number for one in batch)
        self._pending[:0] = batch

    def _shared(self) -> int:
        """How many of the first pending requests can share a call."""
        if not self._pending:
            return 0
        if self._pending[0].line.number in self._alone:
            return 1
        first, *others = requests_of(self._pending)
        return 1 + sum(1 for _ in takewhile(lambda other: _can_share_call(first, other), others))


def _can_share_call(one: Request, other: Request) -> bool:
    return one.temperature == 0 and one.settings == other.settings


class StreamedResults:
    """Results that are passed to `write` as they arrive; nothing is resumed."""

    def __init__(self, settings: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        self.settings = settings
        self._write = write

    def done(self, line: Line) -> dict[str, Any] | None:
        return None

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        record = {"line": line.number, "sha256": line.sha256, "settings": self.settings, **entry}
        self._write(record)
        return record
