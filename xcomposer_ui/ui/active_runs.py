"""Each visitor's run in progress, so that steps that arrive after a stop are not shown.

Gradio cancels a run a moment after it has handled the Stop button: steps of that moment would replace what the button
showed. After a stop, the run therefore yields only the session that the stop made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

Session = TypeVar("Session")


class ActiveRun(Generic[Session]):
    """One run's newest session, replaced for good by a stop."""

    def __init__(self, session: Session) -> None:
        self._latest = session
        self._ended: tuple[Session] | None = None
        self._changing = threading.Lock()

    def step(self, session: Session) -> Session:
        """The session to show: `session`, or the stop's where the run was stopped."""
        with self._changing:
            if self._ended is not None:
                return self._ended[0]
            self._latest = session
            return session

    @property
    def in_progress(self) -> bool:
        """Whether it has not been stopped."""
        return self._ended is None

    def stop(self, finished: Callable[[Session], Session]) -> Session:
        """End the run with `finished` of its newest session, and return that; a second stop changes nothing."""
        with self._changing:
            if self._ended is None:
                self._ended = (finished(self._latest),)
            return self._ended[0]


class ActiveRuns(Generic[Session]):
    """The runs in progress on one tab, at most one for each visitor; thread-safe."""

    def __init__(self) -> None:
        self._runs: dict[str | None, ActiveRun[Session]] = {}

    def busy(self, visitor: str | None) -> bool:
        """Whether a run of the visitor is in progress."""
        run = self._runs.get(visitor)
        return run is not None and run.in_progress

    def followed(
        self, visitor: str | None, before: Session, steps: Generator[Session, None, None]
    ) -> Generator[Session, None, None]:
        """Yield each of `steps`; after a stop, the stop's session as the last one. Closes `steps`.

        visitor: Gradio's session hash. before: the session before the first step.
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

    def stop(self, visitor: str | None, session: Session, finished: Callable[[Session], Session]) -> Session:
        """The session after a stop of the visitor's run; `finished` of `session` where no run is in progress."""
        run = self._runs.get(visitor)
        return finished(session) if run is None else run.stop(finished)
