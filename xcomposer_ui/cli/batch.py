"""A file of questions, for `run` and `compare`: the progress on stderr, and what became of each line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

from xcomposer_ui.cli.output import FAILED, INTERRUPTED, loading_line, note, refuse_flags
from xcomposer_ui.cli.request_arguments import refuse_what_does_not_fit, settings_given
from xcomposer_ui.compare.execution import ComparisonProgress
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.jsonl import OF_ONE_LINE, Recorded, Skipped
from xcomposer_ui.core.request import MemoryRequest, Request
from xcomposer_ui.runtime.batches import Halved
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.runtime.worker_pool import WorkerPool


def add_pool_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a batch that is computed by several processes."""
    parser.add_argument("--workers", type=int, metavar="N", help="of the batch: processes, each with the model loaded")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="of the batch: a running Ray cluster, in place of this machine"
    )


def refuse_pool(arguments: argparse.Namespace) -> None:
    """Raise UserError where one question, which one process computes, comes with flags of a batch."""
    refuse_flags(
        "only_with_batch", {"--workers": arguments.workers, "--ray": arguments.ray, "--output": arguments.output}
    )


def pool_from(runner: Runner, arguments: argparse.Namespace) -> AbstractContextManager[WorkerPool | None]:
    """The workers that the command line asks for; None where it asks for none. Raises UserError as WorkerPool does."""
    if arguments.workers is None and not arguments.ray:
        return nullcontext()
    return WorkerPool(runner.settings, 1 if arguments.workers is None else arguments.workers, arguments.ray)


def refuse_first(
    runner: Runner,
    arguments: argparse.Namespace,
    first: Request | None,
    queries: Callable[[Request], Sequence[MemoryRequest]],
) -> None:
    """Raise UserError where the flags suit no line, or the `first` request of the file will not fit into memory.

    queries: what the memory of its runs depends on. A mistake of that line alone is reported when the line is reached.
    """
    runner.resolved(Request("?", **settings_given(arguments)))
    if first is None:
        return
    try:
        runs = queries(first)
    except UserError as mistake:
        if mistake.code in OF_ONE_LINE:
            return
        raise
    refuse_what_does_not_fit(runner, arguments, runs)


class BatchProgress:
    """The lines of a batch that are done. outcome: what is printed of a record after its line's number.

    keep: takes of a record what is needed at the end, so that a long batch is not held in memory. kept: what it took.
    resumed: how many lines an earlier batch had done.
    fitted: requests that fit into memory at once; None where the requested number did.
    """

    def __init__(self, outcome: Callable[[Mapping[str, Any]], str], keep: Callable[[Mapping[str, Any]], Any]) -> None:
        self._outcome, self._keep = outcome, keep
        self._loading = ""
        self.kept: list[Any] = []
        self.resumed = 0
        self.skipped: list[Skipped] = []
        self.fitted: int | None = None
        self.interrupted = False

    def follow(self, events: Generator[Any, None, None]) -> None:
        """Count `events` and print them to stderr, until they end or an interrupt ends them."""
        try:
            with closing(events):
                for event in events:
                    self._follow(event.event if isinstance(event, ComparisonProgress) else event)
        except KeyboardInterrupt:
            self.interrupted = True

    def _follow(self, event: Any) -> None:
        if isinstance(event, Skipped):
            self.skipped.append(event)
            note(f"line {event.line} skipped: {event.reason}")
        elif isinstance(event, Recorded):
            self.kept.append(self._keep(event.record))
            self.resumed += event.resumed
            note(f"line {event.line}{' was done before' if event.resumed else self._outcome(event.record)}")
        elif isinstance(event, Halved):
            self.fitted = event.fitted
            note(
                f"{event.requested} questions at once do not fit into memory, {event.fitted} do; "
                f"going on with {event.fitted}"
            )
        elif isinstance(event, Loading) and (line := loading_line(event)) != self._loading:
            note(line)
            self._loading = line

    def summary(self) -> dict[str, Any]:
        """The counts that both commands' JSON has."""
        return {
            "resumed": self.resumed,
            "skipped": [vars(skipped) for skipped in self.skipped],
        }

    def status(self, succeeded: bool) -> int:
        return INTERRUPTED if self.interrupted else 0 if succeeded else FAILED
