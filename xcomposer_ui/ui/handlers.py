"""What the page does, as plain functions: a session and a form in, sessions out. Nothing here knows Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from xcomposer_ui.compare.document import document_of_run, run_as_json
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, Loading, MemorySoFar, Status, TextSoFar, Waiting
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.core.strategies import strategy_named
from xcomposer_ui.planning.fit import MemoryRequest, ran_out, refuse_unless_fits
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import Traced, Tracing
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import CheckingFit, Form, Session

SHORTEST_STEP_SEC = 0.05
"""As often as the answer is redrawn: faster is not read, and each step costs the page a message."""


def ask(
    runner: Runner,
    session: Session,
    form: Form,
    clock: Callable[[], float] = time.monotonic,
    preflight: Preflight | None = None,
    *,
    anyway: bool = False,
) -> Generator[Session, None, None]:
    """Yield the session at each step of a run of `form`; the last one is idle again.

    foresight: judges whether the run fits; one that does not is begun only `all_the_same`, and ends up in `tight`.
    A user's mistake ends up in `notice`, and nothing else changes. Closing the generator stops the run.
    """
    before = session
    session = session.started(form)
    yield session
    try:
        question = _question(session, form)
        wanted = runner.wanted(question, form.strategy, form.half, model=form.model)
        if preflight is not None and not anyway:
            misfits = yield from preflight.judged(runner, [wanted], replace(session, stage=CheckingFit()))
            if misfits:
                yield before.refused(form, misfits[0])
                return
        events = _events(runner, question, form)
        session = yield from _steps(session, form, question, events, clock, _expecting(runner, preflight, wanted))
        if preflight is not None and session.last is not None and ran_out(session.last):
            misfit = preflight.fitting.after(wanted, session.last)
            yield session if misfit is None else session.refused(form, misfit)
    except UserError as error:
        yield replace(before.idle(), notice=error)


def _expecting(runner: Runner, preflight: Preflight | None, wanted: MemoryRequest) -> Callable[[], int | None]:
    """What the run was predicted to take at most, as far as that is known when it is called."""
    if preflight is None:
        return lambda: None
    return lambda: preflight.expected(wanted, runner.status().device or "cpu")


def answer(runner: Runner, form: Form, preflight: Preflight | None = None, *, anyway: bool = False) -> dict[str, Any]:
    """One run of `form` outside any conversation, as JSON, for the endpoint.

    Raises UserError for the user's mistakes; what does not fit is one, unless it is to be begun `all_the_same`.
    """
    question = _question(Session(), form, needs_picture=False)
    if preflight is not None and not anyway:
        wanted = runner.wanted(question, form.strategy, form.half, model=form.model)
        runner.open()
        refuse_unless_fits(preflight.fitting, [wanted])
    for event in _events(runner, question, form):
        if isinstance(event, Finished):
            return run_as_json(question, event.result, file=form.picture)
    raise RuntimeError("the runner ended without a result")


def stopped(session: Session, status: Status) -> Session:
    """The session after its run was stopped from outside: what there is of the answer is kept, as stopped."""
    form = session.asking
    if form is None:
        return session
    half = next((h for h in (form.half, status.half) if h and h != "auto"), "float16")
    result = RunResult(
        strategy=form.strategy,
        half=half,
        model=form.model or status.model,
        device=status.device or "—",
        weights_dtype=strategy_named(form.strategy).weights_dtype(half),
        seed=form.seed,
        measurement=Measurement(),
        answer=session.draft,
        stopped=True,
        timeline=session.timeline,
    )
    try:
        question = _question(session, form)
    except UserError:  # the picture, which was there when the run began, is gone: nothing to report on
        return session.ended(form, result)
    return _ended(session, form, question, result)


def trace(runner: Runner, session: Session, against: str | None) -> Generator[Session | Waiting | str, None, None]:
    """Trace the conversation's last run, and `against` beside it: what it waits for, or the strategy that is traced.

    Yields the session last, with the flows. A user's mistake ends up in `notice`. Closing the generator stops it.
    """
    if not session.turns:
        yield replace(session, notice=UserError("nothing_to_trace"))
        return
    last = session.turns[-1]
    flows: list[Traced] = []
    try:
        question = Question(
            text=last.question,
            image=open_picture(last.picture) if last.picture is not None else None,
            history=session.history(last.question, last.picture),
            seed=last.result.seed,
            hd_num=last.result.hd_num,
        )
        device = last.result.device if last.result.device in DEVICES else None
        for strategy in dict.fromkeys(filter(None, (last.result.strategy, against))):
            events = runner.trace(question, strategy, last.result.half, model=last.result.model, device=device)
            try:
                for event in events:
                    if isinstance(event, Traced):
                        flows.append(event)
                    else:
                        yield strategy if isinstance(event, Tracing) else event
            finally:
                events.close()
    except UserError as error:
        yield replace(session, notice=error)
        return
    yield replace(session, traced=tuple(flows), notice=None)


def cure(session: Session, form: Form, strategy: str) -> Form:
    """`form` made to repeat the conversation's last question, about the same picture, under `strategy`."""
    if not session.turns:
        return replace(form, strategy=strategy)
    last = session.turns[-1]
    return replace(form, question=last.question, picture=last.picture, strategy=strategy)


def cures(session: Session) -> tuple[str, ...]:
    """The strategies worth a button: those that cure the failure shown, or may."""
    if session.asking is not None or session.last is None or session.last.failure is None:
        return ()
    return tuple(fix.strategy for fix in session.last.failure.explanation.fixes if fix.cures is not False)


def _question(session: Session, form: Form, *, needs_picture: bool = True) -> Question:
    if needs_picture and form.picture is None:
        raise UserError("no_picture")
    return Question(
        text=form.question,
        image=open_picture(form.picture) if form.picture is not None else None,
        history=session.history(form.question, form.picture),
        max_new_tokens=form.max_new_tokens,
        temperature=form.temperature,
        top_p=form.top_p,
        repetition_penalty=form.repetition_penalty,
        seed=form.seed,
        hd_num=form.hd_num,
    )


def _events(runner: Runner, question: Question, form: Form) -> Generator[Event, None, None]:
    return runner.run(question, form.strategy, form.half, model=form.model, device=form.device)


def _steps(
    session: Session,
    form: Form,
    question: Question,
    events: Generator[Event, None, None],
    clock: Callable[[], float],
    expected: Callable[[], int | None],
) -> Generator[Session, None, Session]:
    """Yield the session after each event worth drawing; returns the last. expected: asked while the run goes on."""
    drawn = -SHORTEST_STEP_SEC
    try:
        for event in events:
            session = _after(session, form, question, event)
            if isinstance(event, TextSoFar):
                if clock() - drawn < SHORTEST_STEP_SEC:
                    continue
                drawn = clock()
            elif isinstance(event, MemorySoFar):
                session = replace(session, expected_bytes=expected())
            yield session
    finally:
        events.close()
    return session


def _after(session: Session, form: Form, question: Question, event: Event) -> Session:
    if isinstance(event, Finished):
        return _ended(session, form, question, event.result)
    if isinstance(event, TextSoFar):
        return replace(session, draft=event.text, stage=None)
    if isinstance(event, MemorySoFar):
        return replace(session, timeline=event.timeline)
    if isinstance(event, (Waiting, Loading)):
        return replace(session, stage=event)
    raise TypeError(f"unknown event {event!r}")


def _ended(session: Session, form: Form, question: Question, result: RunResult) -> Session:
    # The name under which the page keeps a picture is none of its; its bytes are, while they are kept.
    kept = form.picture if form.picture is not None and Path(form.picture).is_file() else None
    report = document_of_run(question, result, file=kept)
    return replace(session.ended(form, result), report=report)


def numbers(**values: Any) -> dict[str, Any]:
    """`values` without those left empty, so that the defaults of `Form` hold."""
    return {name: value for name, value in values.items() if value is not None}
