"""The Ask tab's handlers as plain functions: a session and a request's fields in, sessions out. No Gradio here.

The fields are the controls' values by the names of `Request`'s fields; making a request of them here raises the
user's mistakes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from xcomposer_ui.compare.document import document_of_run, run_as_json
from xcomposer_ui.core.callers import Gone, stays, while_wanted
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import (
    Event,
    Finished,
    Loading,
    MemorySoFar,
    Status,
    TextSoFar,
    TryingRemedies,
    Waiting,
)
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import MemoryRequest, Request
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.planning.fit import ran_out, refuse_unless_fits
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import Traced, Tracing
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import CheckingFit, Session

SHORTEST_STEP_SEC = 0.05
"""Between two redraws of the answer: each sends a message to the page."""

Fields = Mapping[str, Any]
"""Fields of a Request by name, unchecked, the picture by its file."""


def request_from(fields: Fields, *, needs_picture: bool = False) -> Request:
    """The request with `fields`, its picture opened. Raises UserError where one of them is wrong."""
    file = fields.get("file")
    if needs_picture and file is None:
        raise UserError("no_picture")
    return Request(**{**fields, "image": None if file is None else open_picture(file)})


def ask(
    runner: Runner,
    session: Session,
    fields: Fields,
    clock: Callable[[], float] = time.monotonic,
    preflight: Preflight | None = None,
    *,
    anyway: bool = False,
) -> Generator[Session, None, None]:
    """Yield the session at each step of a run; the last one is idle again.

    preflight: checks that the run fits; one that does not becomes the `misfit` and is run only with `anyway`.
    A user's mistake becomes the `notice`, and nothing else changes. Closing the generator stops the run.
    """
    before = session
    try:
        history = session.history(fields["text"], fields.get("file"))
        request = request_from({**fields, "history": history}, needs_picture=True)
        session = session.started(request)
        yield session
        query = runner.resolved(request).memory_query()
        if preflight is not None and not anyway:
            misfits = yield from preflight.misfits(runner, [query], replace(session, stage=CheckingFit()))
            if misfits:
                yield before.with_misfit(request, misfits[0])
                return
        expected = _expected(runner, None if history else preflight, query)
        session = yield from _steps(session, request, runner.run(request), clock, expected)
        if preflight is not None and session.last is not None and ran_out(session.last):
            misfit = preflight.fitting.after_run(query, session.last)
            yield session if misfit is None else session.with_misfit(request, misfit)
    except UserError as error:
        yield replace(before.idle(), notice=error)


def _expected(runner: Runner, preflight: Preflight | None, query: MemoryRequest) -> Callable[[], int | None]:
    """A function that returns the run's predicted peak in bytes, None while it is not known or without `preflight`.

    Later turns of a conversation have no prediction (see `predictions.shape_of`).
    """
    if preflight is None:
        return lambda: None
    return lambda: preflight.expected(query, runner.status().device or "cpu")


def run_once(
    runner: Runner, fields: Fields, preflight: Preflight | None = None, gone: Gone = stays, *, anyway: bool = False
) -> dict[str, Any]:
    """One run outside any conversation, as JSON, for the endpoint; it ends where its caller is `gone`.

    Raises UserError then, and for the user's mistakes; a run that does not fit is one, unless `anyway` is given.
    """
    request = request_from(fields)
    if preflight is not None and not anyway:
        query = runner.resolved(request).memory_query()
        runner.open()
        refuse_unless_fits(preflight.fitting, [query])
    for event in while_wanted(runner.run(request), gone):
        if isinstance(event, Finished):
            return run_as_json(event.result)
    raise RuntimeError("the runner ended without a result")


def stopped(session: Session, status: Status) -> Session:
    """The session after its run was stopped: the answer so far is kept and marked as stopped; a failure is kept."""
    running = session.running
    if running is None:
        return session
    half = next((h for h in (running.half, status.half) if h and h != "auto"), "float16")
    result = RunResult(
        request=replace(running, half=half, model=running.model or status.model),
        device=status.device or "—",
        measurement=Measurement(),
        answer=session.draft if session.trials is None else None,
        failure=None if session.trials is None else session.trials.failure,
        stopped=session.trials is None,
        timeline=session.timeline,
    )
    try:
        image = None if running.file is None else open_picture(running.file)
    except UserError:  # the picture's file was deleted during the run: no report
        return session.ended(running, result)
    return _ended(session, running, replace(result, request=replace(result.request, image=image)))


def trace(runner: Runner, session: Session, against: str | None) -> Generator[Session | Waiting | str, None, None]:
    """Trace the conversation's last run, and `against` beside it.

    Yields Waiting, or the strategy that is being traced, and last the session with the flows. A user's mistake becomes
    the `notice`. Closing the generator stops it.
    """
    if not session.turns:
        yield replace(session, notice=UserError("nothing_to_trace"))
        return
    last = session.turns[-1].result
    flows: list[Traced] = []
    try:
        device = last.device if last.device in DEVICES else None
        request = request_from({**vars(last.request), "device": device})
        for strategy in dict.fromkeys(filter(None, (last.strategy, against))):
            with closing(runner.trace(replace(request, strategy=strategy))) as events:
                for event in events:
                    if isinstance(event, Traced):
                        flows.append(event)
                    else:
                        yield strategy if isinstance(event, Tracing) else event
    except UserError as error:
        yield replace(session, notice=error)
        return
    yield replace(session, traced=tuple(flows), notice=None)


def remedy(session: Session, fields: Fields, strategy: str) -> Fields:
    """`fields` changed to repeat the conversation's last question, about the same picture, under `strategy`."""
    if not session.turns:
        return {**fields, "strategy": strategy}
    last = session.turns[-1].request
    return {**fields, "text": last.text, "file": last.file, "strategy": strategy}


def remedies(session: Session) -> tuple[str, ...]:
    """The strategies to offer: those that answered in a trial of the failed run, or were not tried."""
    if session.running is not None or session.last is None or session.last.failure is None:
        return ()
    return tuple(fix.strategy for fix in session.last.failure.explanation.fixes if fix.cures is not False)


def _steps(
    session: Session,
    request: Request,
    events: Generator[Event, None, None],
    clock: Callable[[], float],
    expected: Callable[[], int | None],
) -> Generator[Session, None, Session]:
    """Yield the session after each event, texts at most every SHORTEST_STEP_SEC; return the last."""
    drawn, latest = -SHORTEST_STEP_SEC, None
    with closing(events):
        for event in events:
            if event == latest:  # nothing to draw, but a moment at which a caller that is gone ends the run
                yield session
                continue
            latest = event
            session = _after(session, request, event)
            if isinstance(event, TextSoFar):
                if clock() - drawn < SHORTEST_STEP_SEC:
                    continue
                drawn = clock()
            elif isinstance(event, MemorySoFar):
                session = replace(session, expected_bytes=expected())
            yield session
    return session


def _after(session: Session, request: Request, event: Event) -> Session:
    if isinstance(event, Finished):
        return _ended(session, request, event.result)
    if isinstance(event, TextSoFar):
        return replace(session, draft=event.text, stage=None)
    if isinstance(event, MemorySoFar):
        return replace(session, timeline=event.timeline)
    if isinstance(event, TryingRemedies):
        return replace(session, trials=event, stage=None)
    if isinstance(event, (Waiting, Loading)):
        return replace(session, stage=event)
    raise TypeError(f"unknown event {event!r}")


def _ended(session: Session, request: Request, result: RunResult) -> Session:
    return replace(session.ended(request, result), report=document_of_run(result))
