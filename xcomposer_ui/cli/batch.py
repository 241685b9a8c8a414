"""`run --batch`: a file of questions under one strategy; results to --output, resumably, or to stdout as they come.

Exit 0: every question that could be read is answered. 3: one failed, or there was none to answer. 2: the user's
mistake. 130: interrupted; what was done by then is in the output.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.output import figures, loading_line, note, print_json
from xcomposer_ui.cli.question_arguments import asked_settings, refuse_what_does_not_fit, settings_told
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.jsonl import ResultLines, first_question
from xcomposer_ui.core.request import Question
from xcomposer_ui.runtime.batches import Answered, Halved, Printed, Results, Skipped, Told, ask_many
from xcomposer_ui.runtime.runner import Runner

FAILED = 3
INTERRUPTED = 130


def execute(runner: Runner, arguments: argparse.Namespace) -> int:
    """Ask every line of `arguments.batch`; the exit status."""
    if arguments.question or arguments.image:
        raise UserError("batch_or_question")
    settings = _settings(runner, arguments)
    results: Results = Printed(settings, print_json)
    if arguments.output:
        results = ResultLines(Path(arguments.output), settings)
    defaults = Question("", **asked_settings(arguments))
    if first := first_question(Path(arguments.batch), defaults, results):
        refuse_what_does_not_fit(runner, arguments, [runner.wanted(first, arguments.strategy, arguments.half)])
    tally = _Tally()
    told = ask_many(
        runner, Path(arguments.batch), results, arguments.strategy, arguments.half, defaults, arguments.batch_size
    )
    try:
        for event in told:
            tally.count(event)
            _tell(event, tally)
    except KeyboardInterrupt:
        tally.interrupted = True
    finally:
        told.close()
    note(f"{tally.answered} answered ({tally.resumed} before), {tally.failed} failed, {len(tally.skipped)} skipped")
    if arguments.json:
        print_json({**tally.summary(), "output": arguments.output})
    if tally.interrupted:
        return INTERRUPTED
    return 0 if tally.answered and not tally.failed else FAILED


class _Tally:
    """What became of the lines so far."""

    def __init__(self) -> None:
        self.answered = self.failed = self.resumed = 0
        self.skipped: list[Skipped] = []
        self.fitted: int | None = None
        self.interrupted = False
        self.loading: str | None = None

    def count(self, event: Told) -> None:
        if isinstance(event, Answered):
            failed = event.record["failure"] is not None
            self.failed += failed
            self.answered += not failed
            self.resumed += event.resumed
        elif isinstance(event, Skipped):
            self.skipped.append(event)
        elif isinstance(event, Halved):
            self.fitted = event.fitted

    def summary(self) -> dict[str, Any]:
        """batch_size_fitted: questions at once that memory allowed, None where it allowed all that were asked for."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "resumed": self.resumed,
            "skipped": [vars(skipped) for skipped in self.skipped],
            "batch_size_fitted": self.fitted,
            "interrupted": self.interrupted,
        }


def _settings(runner: Runner, arguments: argparse.Namespace) -> dict[str, Any]:
    """What all records of one output have in common."""
    return {
        "model": runner.settings.model,
        "device": runner.settings.device,
        "strategy": arguments.strategy,
        "half": runner.half(arguments.half),
        **settings_told(arguments),
    }


def _tell(event: Told, tally: _Tally) -> None:
    """A line for the person at the terminal."""
    if isinstance(event, Skipped):
        note(f"line {event.line} skipped: {event.reason}")
    elif isinstance(event, Halved):
        note(f"{event.asked} questions at once do not fit into memory, {event.fitted} do; going on with {event.fitted}")
    elif isinstance(event, Loading):
        if tally.loading != (line := loading_line(event)):
            note(line)
            tally.loading = line
    elif isinstance(event, Answered):
        note(f"line {event.line}{' was done before' if event.resumed else ': ' + _outcome(event.record)}")


def _outcome(record: dict[str, Any]) -> str:
    if record["failure"] is not None:
        return f"{record['failure']['type']}: {record['failure']['message']}"
    return f"answered, {figures(record)}, {record['batch_size']} at once"
