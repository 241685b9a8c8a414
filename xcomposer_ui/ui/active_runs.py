"""What each visitor has running now, so that a stop has the last word.

Gradio tells a run of its end a moment after the Stop button has been answered: steps that come in that moment would
be shown over what the button showed. From the stop on, the run shows what the stop made of it, and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

Session = TypeVar("Session")


class ActiveRun(Generic[Session]):
    """One run's newest session, until a stop puts another in its place."""

    def __init__(self, session: Session) -> None:
        self._latest = session
        self._ended: tuple[Session] | None = None
        self._changing = threading.Lock()

    def step(self, session: Session) -> Session:
        """What to show for `session`: the stop's session where there was a stop."""
        with self._changing:
            if self._ended is not None:
                return self._ended[0]
            self._latest = session
            return session

    def stop(self, made: Callable[[Session], Session]) -> Session:
        """End the run with what `made` makes of its newest session; a second stop changes nothing."""
        with self._changing:
            if self._ended is None:
                self._ended = (made(self._latest),)
            return self._ended[0]


class ActiveRuns(Generic[Session]):
    """The runs of all visitors on one tab, one a visitor; safe from any thread."""

    def __init__(self) -> None:
        self._runs: dict[str | None, ActiveRun[Session]] = {}

    def followed(
        self, visitor: str | None, before: Session, steps: Generator[Session, None, None]
    ) -> Generator[Session, None, None]:
        """Each of `steps`, until a stop: its session is the last one then. Closes `steps`.

        visitor: Gradio's session hash. before: the session as the run begins.
        """
        run = self._runs[visitor] = ActiveRun(before)
        try:
            for session in steps:
                shown = run.step(session)
                yield shown
                if shown is not session:
                    break
        finally:
            steps.close()
            if self._runs.get(visitor) is run:
                del self._runs[visitor]

    def stop(self, visitor: str | None, session: Session, made: Callable[[Session], Session]) -> Session:
        """The session after a stop: of the visitor's run, or `made` of `session` where none goes on."""
        run = self._runs.get(visitor)
        return made(session) if run is None else run.stop(made)
