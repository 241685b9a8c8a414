"""Run the requests of a JSONL file, one result per line; greedy requests with equal settings share a model call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import FinishedBatch, Loading, Waiting
from xcomposer_ui.core.jsonl import EarlierResults, Line, Pending, Recorded, Skipped, read_requests
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import result_as_json

BATCH_SIZE = 8
"""Requests in one call by default."""

MOST_AT_ONCE = 1024
"""Largest batch size that is accepted."""


class RunsBatches(Protocol):
    """The part of the runner that batches need."""

    def run_batch(self, requests: Sequence[Request]) -> Generator[Waiting | Loading | FinishedBatch, None, None]: ...


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
    runner: RunsBatches,
    file: Path,
    results: Results,
    defaults: Mapping[str, Any],
    batch_size: int = BATCH_SIZE,
) -> Generator[BatchEvent, None, None]:
    """Run each line of `file`, up to `batch_size` in one call. Closing the generator stops the run; `results` has
    what was written until then.

    defaults: fields of the request that a line may leave out, and those that all lines share: strategy, half, model.
    Only greedy requests share a call: a sampled answer would depend on the other requests in the batch.
    Raises UserError if the file cannot be read or is empty, if batch_size is out of range, and for a mistake that
    affects every line.
    """
    if not 1 <= batch_size <= MOST_AT_ONCE:
        raise UserError("out_of_range", name="batch_size", value=batch_size, lowest=1, highest=MOST_AT_ONCE)
    pending: list[Pending] = []
    for event in read_requests(file, results, defaults):
        if not isinstance(event, Pending):
            yield event
            continue
        if pending and not _can_share_call(pending[0].request, event.request):
            while pending:
                batch_size = yield from _run_first(runner, pending, results, batch_size)
        pending.append(event)
        while len(pending) >= batch_size:
            batch_size = yield from _run_first(runner, pending, results, batch_size)
    while pending:
        batch_size = yield from _run_first(runner, pending, results, batch_size)


def _can_share_call(one: Request, other: Request) -> bool:
    return one.temperature == 0 and one.settings == other.settings


def _run_first(
    runner: RunsBatches, pending: list[Pending], results: Results, batch_size: int
) -> Generator[BatchEvent, None, int]:
    """Run the first requests of `pending` and remove them; returns the batch size to use from now on."""
    batch = pending[:batch_size]
    events = runner.run_batch([one.request for one in batch])
    try:
        for event in events:
            if not isinstance(event, FinishedBatch):
                yield event
                continue
            if event.size < len(batch):
                yield Halved(len(batch), event.size)
                batch_size = event.size
            if not event.results:
                raise RuntimeError("the runner ended a batch without a result")
            for one, result in zip(batch, event.results, strict=False):
                entry = {"id": one.id, "question": one.request.text, **result_as_json(result)}
                record = results.add(one.line, entry)
                del pending[0]
                yield Recorded(one.line.number, record)
    finally:
        events.close()
    return batch_size


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
