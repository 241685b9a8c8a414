"""The Train tab's handlers as plain functions: fields in, sessions out. No Gradio."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.core.callers import Gone, stays, while_wanted
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.finetuning.report import document_of
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning
from xcomposer_ui.runtime.runner import Runner


@dataclass(frozen=True)
class TrainSession:
    """The state of one visitor's Train tab: replaced at each step, never shared between visitors.

    finetuning: in progress or the last one. document: of it, once it has ended. running: whether it is in progress.
    waiting: its place in the queue, None once it has begun. earlier: the session before it, which a stop before the
    first step restores.
    """

    finetuning: Finetuning | None = None
    document: Mapping[str, Any] | None = None
    running: bool = False
    waiting: Waiting | None = None
    notice: UserError | None = None
    earlier: TrainSession | None = None

    def idle(self) -> TrainSession:
        """The session with nothing in progress and no notice."""
        return replace(self, running=False, waiting=None, notice=None, earlier=None)

    def ended(self, stopped: bool = False) -> TrainSession:
        """The idle session, with the document of what was trained."""
        finetuning = self.finetuning
        if finetuning is None or not finetuning.recipes:
            return self.earlier or TrainSession()
        if self.running and stopped:
            finetuning = replace(finetuning, stopped=True)
        return replace(self.idle(), finetuning=finetuning, document=document_of(finetuning))

    def stopped(self) -> TrainSession:
        """The idle session, with the document of what was trained until a stop."""
        return self.ended(stopped=True)

    @property
    def remedies(self) -> tuple[str, ...]:
        """The recipes that avoid the failures shown, and did not run themselves."""
        found = () if self.running or self.finetuning is None else self.finetuning.recipes
        ran = {result.recipe for result in found}
        wanted = {result.remedy for result in found}
        return tuple(name for name in RECIPES if name in wanted - ran)


Sessions = Generator[TrainSession, None, None]


def finetune_once(runner: Runner, fields: Mapping[str, Any], gone: Gone = stays) -> dict[str, Any]:
    """One whole fine-tuning as JSON, for the endpoint; it ends where its caller is `gone`.

    Raises UserError then, and for the user's mistakes.
    """
    *_, last = while_wanted(runner.finetune(FinetuningRequest(**fields)), gone)
    assert isinstance(last, Finetuned)
    return document_of(last.finetuning)


def steps(runner: Runner, session: TrainSession, fields: Mapping[str, Any]) -> Sessions:
    """Yield the session during a fine-tuning, the same object again where nothing is new; the last one is idle.

    A user's mistake becomes the `notice`, and nothing else changes. Closing the generator stops the fine-tuning.
    """
    try:
        request = FinetuningRequest(**fields)
        yield from _trained(runner, TrainSession(earlier=session.idle()), request)
    except UserError as error:
        yield replace(session.idle(), notice=error)


def remedy_steps(runner: Runner, session: TrainSession, remedy: str) -> Sessions:
    """As `steps`, for the recipe `remedy` with the settings of the session's fine-tuning, whose results stay."""
    before = session.finetuning
    if before is None or remedy not in session.remedies:  # a second click
        return
    try:
        request = replace(before.request, recipes=(remedy,))
        yield from _trained(runner, replace(session.idle(), earlier=session.idle()), request)
    except UserError as error:
        yield replace(session.idle(), notice=error)


def _trained(runner: Runner, session: TrainSession, request: FinetuningRequest) -> Sessions:
    """As `steps`; the results join those that `session` has already. Raises UserError."""
    before = session.finetuning
    now = replace(session, running=True, document=None)
    yield now
    latest: Waiting | Finetuning | None = None
    with closing(runner.finetune(request)) as events:
        for event in events:
            shown = event if isinstance(event, Waiting) else event.finetuning
            if shown is not latest:
                joined = now.finetuning if isinstance(shown, Waiting) else _joined(before, shown)
                now = replace(now, waiting=shown if isinstance(shown, Waiting) else None, finetuning=joined)
            latest = shown
            yield now
    yield now.ended()


def _joined(before: Finetuning | None, after: Finetuning) -> Finetuning:
    """The results of both, as if they were of one fine-tuning."""
    if before is None:
        return after
    request = replace(after.request, recipes=(*(r.recipe for r in before.recipes), *after.request.recipes))
    notes = tuple(dict.fromkeys((*before.notes, *after.notes)))
    return replace(after, request=request, recipes=(*before.recipes, *after.recipes), notes=notes)
