"""The queue for the model: one piece of work at a time, first come, first served."""

from __future__ import annotations

import threading
from collections.abc import Generator

from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import Message

POLL_SEC = 0.25
"""Interval at which a waiting caller gets a chance to stop."""


class ModelQueue:
    """A lock that is given in the order of the calls, and that knows what it is held for. Thread-safe.

    A comparison acquires it anew for each measurement, so a run that waits comes before the next measurement.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[object] = []
        self._work: Message | None = None

    def acquire(self, work: Message) -> Generator[Waiting, None, None]:
        """Yield Waiting until the caller has the model for `work`; then it has to call `release`.

        Closing the generator leaves the queue.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        timeout = 0.0
        try:
            while not self._taken(ticket, work, timeout):
                yield self._state(ticket)
                timeout = POLL_SEC
        finally:
            with self._changed:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                    self._changed.notify_all()

    def release(self) -> None:
        """Give the model to the next caller."""
        with self._changed:
            self._work = None
            self._changed.notify_all()

    def is_waited_for(self) -> bool:
        """Whether somebody waits, so that who holds the model for long may give way."""
        return bool(self._waiting)

    def _taken(self, ticket: object, work: Message, timeout: float) -> bool:
        with self._changed:
            free = self._changed.wait_for(lambda: self._work is None and self._waiting[0] is ticket, timeout)
            if free:
                self._waiting.remove(ticket)
                self._work = work
            return free

    def _state(self, ticket: object) -> Waiting:
        with self._changed:
            return Waiting(self._waiting.index(ticket) + (self._work is not None), self._work)
