"""The Learn tab's handlers as plain functions: a session and a progress in, both out. No Gradio here.

They wait for results without a thread of their own, so that a whole class can wait at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.lesson.explorer import Calculation, number_of
from xcomposer_ui.lesson.kept_results import KeptResults, StepResult
from xcomposer_ui.lesson.progress import Answer, Progress
from xcomposer_ui.lesson.step import Step, lesson, step_named

FLOATS, TEACHER = "floats", "teacher"
"""The places of the tab that are no steps."""

SHOWN_EVERY_SEC = 0.5
"""How often a waiting visitor's place in the queue is shown anew."""

FIRST_CALCULATION = Calculation("0.1", "+", "0.2")

PRESETS = (
    Calculation("0.1"), FIRST_CALCULATION, Calculation("2048", "+", "1"), Calculation("256", "+", "1"),
    Calculation("70000"), Calculation("300", "×", "300"), Calculation("1e-8"),
)  # fmt: skip
"""Calculations that the explorer offers."""


@dataclass(frozen=True)
class LearnSession:
    """place: a step's name, FLOATS or TEACHER. choice: the answer given to the step in this visit.

    ahead: steps computed before the one that is waited for; None where none is.
    measured: steps that the teacher's run has finished; None where it is not running.
    notice: the visitor's last mistake, or why a step could not be run.
    """

    place: str = ""
    choice: str | None = None
    ahead: int | None = None
    measured: int | None = None
    notice: UserError | None = None

    @property
    def step(self) -> Step | None:
        """The step that is shown, the first by default; None for another place."""
        return None if self.place in (FLOATS, TEACHER) else step_named(self.place) or lesson()[0]


def opened(place: str) -> LearnSession:
    """The session at `place`; at the first step, with a notice, where there is no such place."""
    if place in (FLOATS, TEACHER, "") or step_named(place) is not None:
        return LearnSession(place)
    known = ", ".join(step.name for step in lesson())
    return LearnSession(notice=UserError("unknown_step", name=place[:40], known=known))


def back_at(place: str) -> LearnSession:
    """The session at `place` as a browser kept it; at the first step where there is no such place."""
    return replace(opened(place), notice=None)


async def answered(
    results: KeptResults, session: LearnSession, progress: Progress, choice: str
) -> AsyncGenerator[tuple[LearnSession, Progress], None]:
    """Yield session and progress while the step's run is waited for, and last with its result.

    What prevents the run becomes the `notice`; the answer does not count then.
    """
    step = session.step
    if step is None or choice not in step.choices:
        yield replace(session, notice=UserError("unknown_answer", choice=choice[:40])), progress
        return
    future = results.future(step)
    async for _ in _waiting(future):
        yield replace(session, choice=choice, ahead=results.ahead(step), notice=None), progress
    try:
        right = future.result().right
    except UserError as error:
        yield replace(session, choice=None, ahead=None, notice=error), progress
        return
    done = replace(session, choice=choice, ahead=None, notice=None)
    yield done, progress.with_answer(step.name, Answer(choice, choice == right))


async def measured(results: KeptResults, session: LearnSession) -> AsyncGenerator[LearnSession, None]:
    """Yield the session while every step is run, one after the other; a step that cannot be run is the `notice`."""
    notice: UserError | None = None
    for done, step in enumerate(lesson()):
        future = results.future(step)
        async for _ in _waiting(future):
            yield replace(session, measured=done, notice=notice)
        try:
            future.result()
        except UserError as error:
            notice = error
    yield replace(session, measured=None, notice=notice)


def calculation_of(first: str | None, operation: str | None, second: str | None) -> Calculation:
    """The calculation in the explorer's fields. Raises UserError where it is not valid."""
    return Calculation(first or "", operation or "", second or "" if operation else "")


def calculation_from_page(sent: Mapping[str, Any]) -> Calculation:
    """The calculation that a click on the explorer means: an offered one, or the number with the bits as clicked.

    Raises UserError where it means none.
    """
    if "preset" in sent:
        return PRESETS[int(sent["preset"]) % len(PRESETS)]
    return Calculation(number_of(str(sent.get("format", "")), str(sent.get("bits", ""))))


async def _waiting(future: Future[StepResult]) -> AsyncGenerator[None, None]:
    """Yield every SHOWN_EVERY_SEC until `future` is done; what it raised is the caller's to read."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    while not future.done():
        yield
        try:
            await asyncio.wait_for(ended.wait(), SHOWN_EVERY_SEC)
        except asyncio.TimeoutError:
            continue
