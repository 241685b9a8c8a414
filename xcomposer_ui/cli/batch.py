"""`run --batch`: a file of questions under one strategy; results to --output, which can be resumed, or to stdout.

Exit 0: every question that could be read is answered. 3: one failed, or there was none to answer. 2: the user's
mistake. 130: interrupted; the output has the finished questions.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.output import FAILED, INTERRUPTED, figures, loading_line, note, print_json
from xcomposer_ui.cli.request_arguments import pool_from, refuse_what_does_not_fit, settings_given
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.jsonl import Recorded, ResultLines, Skipped, first_request
from xcomposer_ui.runtime.batches import BatchEvent, Halved, Results, StreamedResults, run_file, run_file_in
from xcomposer_ui.runtime.runner import Runner


def execute(runner: Runner, arguments: argparse.Namespace) -> int:
    """Run every line of `arguments.batch`; the exit status."""
    if arguments.question or arguments.image:
        raise UserError("batch_or_question")
    settings = _settings(runner, arguments)
    results: Results = StreamedResults(settings, print_json)
    if arguments.output:
        results = ResultLines(Path(arguments.output), settings)
    shared = {"strategy": arguments.strategy, "half": arguments.half, **settings_given(arguments)}
    if first := first_request(Path(arguments.batch), shared, results):
        refuse_what_does_not_fit(runner, arguments, [runner.resolved(first).memory_query()])
    tally = _Tally()
    with pool_from(runner, arguments) as pool:
        run_lines = partial(run_file, runner) if pool is None else partial(run_file_in, pool)
        events = run_lines(Path(arguments.batch), results, shared, arguments.batch_size)
        try:
            for event in events:
                tally.count(event)
                _describe(event, tally)
        except KeyboardInterrupt:
            tally.interrupted = True
        finally:
            events.close()
    note(f"{tally.answered} answered ({tally.resumed} before), {tally.failed} failed, {len(tally.skipped)} skipped")
    if arguments.json:
        print_json({**tally.summary(), "output": arguments.output})
    if tally.interrupted:
        return INTERRUPTED
    return 0 if tally.answered and not tally.failed else FAILED


class _Tally:
    """Counts of the lines so far, by how they ended."""

    def __init__(self) -> None:
        self.answered = self.failed = self.resumed = 0
        self.skipped: list[Skipped] = []
        self.fitted: int | None = None
        self.interrupted = False
        self.loading: str | None = None

    def count(self, event: BatchEvent) -> None:
        if isinstance(event, Recorded):
            failed = event.record["failure"] is not None
            self.failed += failed
            self.answered += not failed
            self.resumed += event.resumed
        elif isinstance(event, Skipped):
            self.skipped.append(event)
        elif isinstance(event, Halved):
            self.fitted = event.fitted

    def summary(self) -> dict[str, Any]:
        """The counts for the JSON.

        batch_size_fitted: requests that fit into memory at once; None where the requested number did.
        """
        return {
            "answered": self.answered,
            "failed": self.failed,
            "resumed": self.resumed,
            "skipped": [vars(skipped) for skipped in self.skipped],
            "batch_size_fitted": self.fitted,
            "interrupted": self.interrupted,
        }


def _settings(runner: Runner, arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that all records of one output have in common."""
    return {
        "model": runner.settings.model,
        "device": runner.settings.device,
        "strategy": arguments.strategy,
        "half": runner.half(arguments.half),
        **settings_given(arguments),
    }


def _describe(event: BatchEvent, tally: _Tally) -> None:
    """Print the progress to stderr."""
    if isinstance(event, Skipped):
        note(f"line {event.line} skipped: {event.reason}")
    elif isinstance(event, Halved):
        note(
            f"{event.requested} questions at once do not fit into memory, {event.fitted} do; "
            f"going on with {event.fitted}"
        )
    elif isinstance(event, Loading):
        if tally.loading != (line := loading_line(event)):
            note(line)
            tally.loading = line
    elif isinstance(event, Recorded):
        note(f"line {event.line}{' was done before' if event.resumed else ': ' + _outcome(event.record)}")


def _outcome(record: dict[str, Any]) -> str:
    if record["failure"] is not None:
        return f"{record['failure']['type']}: {record['failure']['message']}"
    return f"answered, {figures(record)}, {record['batch_size']} at once"
