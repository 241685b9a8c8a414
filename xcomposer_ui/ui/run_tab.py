"""What the tabs that compute share: their events' options, and a visitor's one run that is followed and stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.localization import Localization
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


Own = TypeVar("Own")


class RunSession(Protocol):
    """The state of one visitor's tab."""

    @property
    def running(self) -> bool:
        """Whether something is in progress that Stop would end."""

    def stopped(self: Own) -> Own:
        """The idle session, with what was computed until a stop."""


Session = TypeVar("Session", bound=RunSession)


class RunTab(ABC, Generic[Session]):
    """A form, Run and Stop, a notice, and the results of the visitor's session.

    A tab has made `notice` and `stop` when its events are connected.
    """

    notice: gr.HTML
    stop: gr.Button

    def __init__(self, words: Localization, session: Session) -> None:
        self.languages = words.languages
        self.active: ActiveRuns[Session] = ActiveRuns()
        self.session = gr.State(session)

    @property
    @abstractmethod
    def controls(self) -> dict[str, Any]:
        """The form's components by the names of the request's fields."""

    @abstractmethod
    def fields(self, *values: Any) -> dict[str, Any]:
        """The request's fields, unchecked, from the values of `inputs`."""

    @abstractmethod
    def outputs(self) -> list[Any]:
        """Every component that the tab's events change."""

    @abstractmethod
    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""

    def inputs(self) -> list[Any]:
        """The components whose values are the arguments of `fields`, in order."""
        return list(self.controls.values())

    def _on(
        self,
        listen: Callable[..., Any],
        handler: Callable[[Session, Mapping[str, Any]], Generator[Session, None, None]],
        name: str,
        language: gr.Radio,
    ) -> Any:
        """Connect `handler`, which yields the sessions of a run. `name`: of no endpoint, as Gradio names events too."""

        def run(session: Session, language: str, request: gr.Request, *values: Any) -> Steps:
            if self.active.busy(request.session_hash):
                yield {self.notice: notice(BUSY, language)}
                return
            language_now = self.languages.current(request.session_hash, language)
            steps = handler(session, self.fields(*values))
            yield from self._follow(self.active.followed(request.session_hash, session, steps), language_now)

        run.__name__ = name
        return listen(run, [self.session, language, *self.inputs()], self.outputs(), **COMPUTES)

    def _on_stop(self, events: list[Any], language: gr.Radio) -> None:
        """Connect Stop, which cancels `events`."""
        self.stop.click(self._stopped, [self.session, language], self.outputs(), cancels=events, **STOPS)

    def _follow(self, steps: Generator[Session, None, None], language_now: Callable[[], str]) -> Steps:
        latest: Session | None = None
        with closing(steps):
            for session in steps:
                if session is latest:  # nothing to draw, but a moment at which Gradio can stop the run
                    yield {self.stop: gr.skip()}
                    continue
                latest = session
                yield self._refreshed(session, language_now())

    def _stopped(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        stopped = self.active.stop(request.session_hash, session, lambda newest: newest.stopped())
        return self._refreshed(stopped, language)

    def _refreshed(self, session: Session, language: str) -> dict[Any, Any]:
        stop = gr.update(variant="stop" if session.running else "secondary")
        return {self.session: session, self.stop: stop, **self.shown(session, language)}
