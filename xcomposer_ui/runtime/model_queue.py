"""The queue for the model: first come, first served, visitors taking turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import Message

POLL_SEC = 0.25
"""Interval at which a caller that is next, or computes, gets a chance to stop."""

FAR_POLL_SEC = 1.0
"""The same further back in the queue: a class that waits would otherwise keep the page's server busy."""


@dataclass(eq=False)
class _Ticket:
    """A call's place in the queue. visitor: whose call it is, None where unknown. turn: set once it has the model."""

    visitor: str | None
    work: Message
    turn: threading.Event = field(default_factory=threading.Event)


def nobody() -> None:
    """The visitor where visitors are not told apart."""


class ModelQueue:
    """A lock that is given in the order of the calls, and that knows what it is held for. Thread-safe.

    A visitor has one place in the queue, or the model: its further calls wait beside the queue, and each joins its end
    when the one before has ended. So nobody's second run comes before another's first, and a place only gets better.
    A comparison acquires the model anew for each measurement, so a run that waits comes before the next measurement.

    visitor: returns the visitor whose call the present thread serves. models: how many can have a model each at once.
    """

    def __init__(self, visitor: Callable[[], str | None] = nobody, models: int = 1) -> None:
        self._visitor, self._free = visitor, models
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._beside: list[_Ticket] = []
        self._holders: list[_Ticket] = []

    def acquire(self, work: Message) -> Generator[Waiting, None, Callable[[], None]]:
        """Yield Waiting until the caller has the model for `work`; returns the function that gives it to the next one.

        Closing the generator leaves the queue.
        """
        ticket = _Ticket(self._visitor(), work)
        with self._lock:
            (self._beside if self._has_place(ticket.visitor) else self._waiting).append(ticket)
            self._give()
        taken = ticket.turn.is_set()
        try:
            while not taken:
                if (state := self._state(ticket)) is not None:
                    yield state
                far = state is not None and state.ahead > 1
                taken = ticket.turn.wait(FAR_POLL_SEC if far else POLL_SEC)
        finally:
            if not taken:
                self._end(ticket)
        return lambda: self._end(ticket)

    def wait(self, work: Message) -> Callable[[], None]:
        """`acquire` for a caller that just waits."""
        steps = self.acquire(work)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                release: Callable[[], None] = end.value
                return release

    def is_waited_for(self) -> bool:
        """Whether somebody waits, so that who holds the model for long may give way."""
        return bool(self._waiting or self._beside)

    def _end(self, ticket: _Ticket) -> None:
        """Take `ticket` out of the queue, or the model from it; its visitor's next call, if any, joins the queue."""
        with self._lock:
            if ticket in self._beside:
                self._beside.remove(ticket)
                return
            if ticket in self._holders:
                self._holders.remove(ticket)
                self._free += 1
            else:
                self._waiting.remove(ticket)
            following = next((one for one in self._beside if one.visitor == ticket.visitor), None)
            if following is not None:
                self._beside.remove(following)
                self._waiting.append(following)
            self._give()

    def _give(self) -> None:
        """Give a model, if one is free, to the first that waits."""
        if self._free and self._waiting:
            self._free -= 1
            self._holders.append(given := self._waiting.pop(0))
            given.turn.set()

    def _has_place(self, visitor: str | None) -> bool:
        placed = [*self._waiting, *self._holders]
        return visitor is not None and any(ticket.visitor == visitor for ticket in placed)

    def _state(self, ticket: _Ticket) -> Waiting | None:
        """What `ticket` waits for; None where it has the model."""
        with self._lock:
            if ticket in self._holders:
                return None
            line = [*self._waiting, *(one for one in self._beside if one.visitor == ticket.visitor)]
            return Waiting(line.index(ticket) + 1, self._holders[0].work)
