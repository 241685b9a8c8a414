"""Output of the commands: the result on stdout and the rest on stderr; with --json stdout has the JSON alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, TypeVar

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.metrics import Record, Source, metrics

Event = TypeVar("Event")

FAILED = 3
UNKNOWN = 4
INTERRUPTED = 130
"""Exit statuses that several commands share; each command documents what they mean for it."""


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document as the last line of stdout")


def refuse_flags(code: str, given: Mapping[str, object], **facts: str) -> None:
    """Raise UserError `code` for the first flag of `given` that has a value: of those that need another one.

    facts: of the error, besides the flag.
    """
    for flag, value in given.items():
        if value is not None:
            raise UserError(code, flag=flag, **facts)


def print_json(document: Mapping[str, Any]) -> None:
    """Print `document` as one line on stdout, in ASCII, which every locale can encode."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print `document` on stdout if that is for JSON, else `text`."""
    if as_json:
        print_json(document)
    else:
        print(text)


def tell(text: str, *, as_json: bool) -> None:
    """Print a line of the result on stdout; on stderr if stdout is for the JSON document."""
    if as_json:
        note(text)
    else:
        print(text, flush=True)


def followed(events: Generator[Event, None, None], line_of: Callable[[Any], str | None]) -> tuple[Event | None, bool]:
    """(the last of `events`, whether an interrupt stopped them), with each line that differs from the last on stderr.

    line_of: None for an event that is passed over; where every one is, the last is None.
    """
    last, shown = None, ""
    try:
        with closing(events):
            for event in events:
                if (line := line_of(event)) is None:
                    continue
                last = event
                if line != shown:
                    note(shown := line)
    except KeyboardInterrupt:
        return last, True
    return last, False


def figures(record: Record, source: Source = "run") -> str:
    """The figures of a run or a divergence that a terminal shows, as one line."""
    return ", ".join(metric.labelled(record) for metric in metrics("terminal", source))


def loading_line(loading: Loading) -> str:
    """The progress of loading a model; the line changes with each tenth of a download."""
    if loading.stage == "download":
        return f"downloading {loading.model}: {int((loading.fraction or 0) * 10) * 10} %"
    return f"loading {loading.model} in {loading.dtype}"
