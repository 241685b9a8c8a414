"""The state of one visitor's page: frozen records, replaced at each step, never shared between visitors.

The browser keeps the last runs, with thumbnails for pictures; nothing is stored on the server. What comes back from the
browser is checked like anything that a visitor sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, TryingRemedies, Waiting
from xcomposer_ui.core.images import thumbnail
from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.records import record_as_data, record_from_data
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.planning.fit import DoesNotFit
from xcomposer_ui.tracing.dtype_flow import Traced

MOST_RUNS = 200
"""Runs that the table keeps; older ones are dropped."""

THUMBNAIL_PIXELS = 96
"""Longer side of the pictures beside the turns, shown at half that size."""

MOST_KEPT = 30
"""Runs that the browser keeps."""

MOST_CHARACTERS = 400_000
"""Of the JSON that holds them; a browser gives a site 5 million."""

LONGEST_THUMBNAIL = 20_000
"""Characters of a data: URL; those of this page have some 3,000."""

JPEG = "data:image/jpeg;base64,"

Named = Callable[[str | None], str | None]
"""From a picture's file to the example that it is a copy of, by name, or back; None for a picture of the visitor's."""


@dataclass(frozen=True)
class CheckingFit:
    """The stage in which the run is planned to see whether it fits."""


@dataclass(frozen=True)
class SessionRun:
    """One finished run.

    request: with the controls' values, its picture by file alone. thumbnail: of its picture, a data: URL; None without
    a picture.
    """

    request: Request
    result: RunResult
    thumbnail: str | None = None


@dataclass(frozen=True)
class Session:
    """running: the request of the run in progress. thumbnail: of its picture. draft: its answer so far. stage: what it
    waits for.

    turns: the conversation, oldest first. runs: every run of the visit, oldest first; outlives the conversation.
    notice: the user's last mistake, until the next run.
    trials: of the remedies, where the run in progress has failed.
    timeline: memory of the run in progress so far; expected_bytes: its predicted peak, once that is known.
    misfit: why the request in `refused` was not run, or what to run instead after it ran out of memory.
    report: the last run as a self-contained document; None where its picture's file was deleted before its end.
    restored: whether the browser kept it, without the visitor's own pictures, and no run followed.
    traced: the dtype flow of the last run, and perhaps another strategy's beside it; dropped with the next run.

    Requests in a session have no open picture: those of one visit would take hundreds of megabytes.
    """

    turns: tuple[SessionRun, ...] = ()
    runs: tuple[SessionRun, ...] = ()
    running: Request | None = None
    thumbnail: str | None = None
    draft: str = ""
    stage: Waiting | Loading | CheckingFit | None = None
    trials: TryingRemedies | None = None
    notice: UserError | None = None
    stopped: bool = False
    timeline: MemoryTimeline | None = None
    expected_bytes: int | None = None
    misfit: DoesNotFit | None = None
    refused: Request | None = None
    report: Mapping[str, Any] | None = None
    traced: tuple[Traced, ...] = ()
    restored: bool = False

    @property
    def is_new(self) -> bool:
        """Whether there is neither a conversation nor a run that could begin one."""
        return not self.turns and self.running is None and self.misfit is None

    @property
    def last(self) -> RunResult | None:
        """The result of the conversation's last run."""
        return self.turns[-1].result if self.turns else None

    def full_precision_of(self, request: Request, thumbnail: str | None) -> SessionRun | None:
        """The visit's last answer to the question of `request`, with its settings, under full precision."""

        def question(request: Request) -> Request:
            return replace(request.without_image(), strategy=REFERENCE, half=None)

        return next(
            (
                run
                for run in reversed(self.runs)
                if run.request.strategy == REFERENCE
                and run.result.tokens is not None
                and run.thumbnail == thumbnail
                and question(run.request) == question(request)
            ),
            None,
        )

    def history(self, text: str, file: str | None) -> tuple[tuple[str, str], ...]:
        """The history of the question `text` about the picture in `file`: answered turns about the same picture.

        The same question again (under another strategy, or after a failure) repeats its turn: earlier answers to
        it are left out, so that the runs are comparable.
        """
        kept: list[tuple[str, str]] = []
        for turn in reversed(self.turns):
            if turn.request.file != file:
                break
            following = kept[-1][0] if kept else text
            if turn.result.answer and turn.request.text != following:
                kept.append((turn.request.text, turn.result.answer))
        return tuple(reversed(kept))

    def started(self, request: Request) -> Session:
        """The session at the start of a run of `request`."""
        return replace(
            self, running=request.without_image(), draft="", stage=None, notice=None, stopped=False, misfit=None,
            thumbnail=None if request.image is None else thumbnail(request.image, THUMBNAIL_PIXELS),
            refused=None, traced=(), restored=False,
        )  # fmt: skip

    def with_misfit(self, request: Request, misfit: DoesNotFit) -> Session:
        """The idle session with `request` as one that does not fit or ran out of memory."""
        return replace(self.idle(), misfit=misfit, refused=request.without_image())

    def ended(self, request: Request, result: RunResult) -> Session:
        """The session after the run of `request` with `result`."""
        kept = replace(result, request=result.request.without_image())
        run = SessionRun(request.without_image(), kept, self.thumbnail)
        return replace(
            self.idle(),
            report=None,
            turns=(*self.turns, run),
            runs=(*self.runs, run)[-MOST_RUNS:],
            stopped=result.stopped,
        )

    def idle(self) -> Session:
        """The session with no run in progress."""
        return replace(
            self, running=None, thumbnail=None, draft="", stage=None, trials=None, timeline=None, expected_bytes=None
        )  # fmt: skip

    def undone(self) -> Session:
        """The session without the conversation's last turn; the runs stay."""
        return Session(turns=self.turns[:-1], runs=self.runs)

    def cleared(self) -> Session:
        """The session with a new conversation; the runs stay."""
        return Session(runs=self.runs)


def kept_session(session: Session, example_name: Named) -> dict[str, Any]:
    """The last runs of `session` as JSON data, and the places of the conversation's turns among them."""
    runs = session.runs[-MOST_KEPT:]
    data = [record_as_data(_without_files(run, example_name)) for run in runs]
    while len(json.dumps(data)) > MOST_CHARACTERS:
        runs, data = runs[1:], data[1:]
    return {"runs": data, "turns": [place for place, run in enumerate(runs) if run in session.turns]}


def restored_session(data: Any, example_file: Named) -> Session:
    """The session that the browser kept; a new one where it kept none, or something that this version cannot read."""
    if not isinstance(data, dict) or not isinstance(data.get("runs"), list) or len(data["runs"]) > MOST_KEPT:
        return Session()
    try:
        runs = tuple(_with_file(record_from_data(SessionRun, run), example_file) for run in data["runs"])
        turns = tuple(runs[int(place)] for place in data["turns"])
    except (ValueError, TypeError, LookupError):
        return Session()
    return Session(turns=turns, runs=runs, restored=bool(runs))


def _without_files(run: SessionRun, example_name: Named) -> SessionRun:
    """`run` with its picture by the name of the example, and without its memory timeline."""
    return _with_files(replace(run, result=replace(run.result, timeline=None)), example_name)


def _with_file(run: SessionRun, example_file: Named) -> SessionRun:
    thumbnail = run.thumbnail or JPEG
    if len(thumbnail) > LONGEST_THUMBNAIL or not thumbnail.startswith(JPEG):
        raise ValueError("not a thumbnail")
    return _with_files(run, example_file)


def _with_files(run: SessionRun, named: Named) -> SessionRun:
    request, result = run.request, run.result
    resolved = replace(result.request, file=named(result.request.file))
    return replace(run, request=replace(request, file=named(request.file)), result=replace(result, request=resolved))
