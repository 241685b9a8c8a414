"""What the tabs that compute share: their events' options, and a visitor's one run that is followed and stopped.

Gradio cancels a run a moment after it has handled the Stop button: steps of that moment would replace what the button
showed. After a stop, the run therefore yields only the session that the stop made.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.views.notices import notice

MODEL_QUEUE = "model"
"""The queue of all events that compute; the runner computes them one at a time, in their order."""

MOST_COMPUTING = 64
"""Calls that run, or wait in the runner's queue, where visitors see their place; further ones are refused."""

COMPUTES: dict[str, Any] = {
    "api_visibility": "private", "concurrency_id": MODEL_QUEUE, "concurrency_limit": MOST_COMPUTING,
    "trigger_mode": "multiple", "show_progress": "hidden",
}  # fmt: skip
"""For events that compute. A second one of a visitor on the same tab is answered with `BUSY`."""

BUSY = UserError("run_in_progress")

STOPS: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For the events of the Stop buttons."""

Steps = Generator[dict[Any, Any], None, None]

State = TypeVar("State")


@dataclass(eq=False)
class _ActiveRun(Generic[State]):
    """One run's newest session, replaced for good by a stop."""

    session: State
    stopped: bool = False


class ActiveRuns(Generic[State]):
    """The runs in progress on one tab, at most one for each visitor; thread-safe."""

    def __init__(self) -> None:
        self._runs: dict[str | None, _ActiveRun[State]] = {}
        self._changing = threading.Lock()

    def busy(self, visitor: str | None) -> bool:
        """Whether a run of the visitor is in progress."""
        run = self._runs.get(visitor)
        return run is not None and not run.stopped

    def followed(
        self, visitor: str | None, before: State, steps: Generator[State, None, None]
    ) -> Generator[State, None, None]:
        """Yield each of `steps`; after a stop, the stop's session as the last one. Closes `steps`.

        visitor: Gradio's session hash. before: the session before the first step.
        """
        run = self._runs[visitor] = _ActiveRun(before)
        try:
            for session in steps:
                with self._changing:
                    if not run.stopped:
                        run.session = session
                    shown = run.session
                yield shown
                if shown is not session:
                    break
        finally:
            steps.close()
            if self._runs.get(visitor) is run:
                del self._runs[visitor]

    def stop(self, visitor: str | None, session: State, finished: Callable[[State], State]) -> State:
        """The session after a stop of the visitor's run, which a second one does not change.

        `finished` of the run's newest session, or of `session` where no run is in progress.
        """
        run = self._runs.get(visitor)
        if run is None:
            return finished(session)
        with self._changing:
            if not run.stopped:
                run.session, run.stopped = finished(run.session), True
            return run.session


class RunSession(Protocol):
    """The state of one visitor's tab. running: what is in progress that Stop would end, if anything."""

    @property
    def running(self) -> object: ...


Session = TypeVar("Session", bound=RunSession)
Handler = Callable[[Session, Mapping[str, Any]], Generator[Session, None, None]]
"""Yields the sessions of a run, from the session before it and the fields of its request."""


class RunTab(ABC, Generic[Session]):
    """A form, Run and Stop, a notice, and the results of the visitor's session.

    A tab has made `notice`, `stop` and `controls` when its events are connected. controls: the form's components by the
    names of the request's fields.
    """

    controls: dict[str, Any]
    notice: gr.HTML
    stop: gr.Button

    def __init__(self, page: Page, session: Session) -> None:
        self.page, self.language, self.languages = page, page.language, page.words.languages
        self.active: ActiveRuns[Session] = ActiveRuns()
        self.session = gr.State(session)

    @abstractmethod
    def fields(self, *values: Any) -> dict[str, Any]:
        """The request's fields, unchecked, from the values of `inputs`."""

    @abstractmethod
    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""

    @abstractmethod
    def stopped(self, session: Session) -> Session:
        """The idle session, with what was computed until a stop."""

    def inputs(self) -> list[Any]:
        """The components whose values are the arguments of `fields`, in order."""
        return list(self.controls.values())

    def outputs(self) -> list[Any]:
        """Every component that the tab's events change."""
        return list(self.refreshed(self.session.value, "en"))

    def step(self, session: Session, language: str, *, first: bool) -> dict[Any, Any]:
        """Component -> value for a step of a run. first: whether it is the run's first."""
        return self.refreshed(session, language)

    def refreshed(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for `session` and all that shows it."""
        stop = gr.update(variant="stop" if session.running else "secondary")
        return {self.session: session, self.stop: stop, **self.shown(session, language)}

    def _on(self, listen: Callable[..., Any], handler: Handler[Session], name: str) -> Any:
        """Connect `handler`. name: of the event for Gradio, which must not be that of an endpoint."""

        def run(session: Session, language: str, request: gr.Request, *values: Any) -> Steps:
            yield from self._followed(handler, session, self.fields(*values), language, request)

        run.__name__ = name
        return listen(run, [self.session, self.language, *self.inputs()], self.outputs(), **COMPUTES)

    def _followed(
        self, handler: Handler[Session], session: Session, fields: Mapping[str, Any], language: str, request: gr.Request
    ) -> Steps:
        """Component -> value at each step of a run; a notice where one of the visitor is in progress."""
        if self.active.busy(request.session_hash):
            yield {self.notice: notice(BUSY, language)}
            return
        language_now = self.languages.current(request.session_hash, language)
        shown: tuple[Session, str] | None = None
        with closing(self.active.followed(request.session_hash, session, handler(session, fields))) as steps:
            for latest in steps:
                before, shown = shown, (latest, language_now())
                # {}: nothing to draw, but a moment at which Gradio can stop the run
                yield {} if shown == before else self.step(*shown, first=before is None)

    def _on_stop(self, events: list[Any]) -> Any:
        """Connect Stop, which cancels `events`."""
        return self.stop.click(self._stopped, [self.session, self.language], self.outputs(), cancels=events, **STOPS)

    def _stopped(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        return self.refreshed(self.active.stop(request.session_hash, session, self.stopped), language)


def offers(row: str, prefix: str, names: Iterable[str]) -> dict[str, gr.Button]:
    """A row with the element id `row`, one hidden button `prefix`-name for each name; the buttons by name."""
    with gr.Row(elem_classes="xl-offers", elem_id=row):
        return {
            name: gr.Button(name, visible=False, size="sm", elem_id=f"{prefix}-{name}", elem_classes="xl-offer")
            for name in names
        }


def labelled(buttons: Mapping[str, gr.Button], labels: Mapping[str, str | None]) -> dict[Any, Any]:
    """Button -> update: each with its label by name, hidden where it has none."""
    found = {button: labels.get(name) for name, button in buttons.items()}
    return {button: gr.update(visible=label is not None, value=label or "") for button, label in found.items()}
