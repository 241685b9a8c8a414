"""Release Gradio's sessions that no page uses any more; this file alone knows how Gradio stores them.

Gradio makes a session for each call of a script, some 300 KB with the configuration of every component, and keeps it
until there are 10,000. A page's session has to stay, because it holds the visitor's conversation.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from gradio.context import LocalContext

from xcomposer_ui.core.callers import Gone

SCRIPT_SEC = 60.0
"""Seconds after its last use at which the session of a script, which has no page, is released."""

PAGE_SEC = 3600.0
"""Seconds after its page was closed at which a session is released: a page that lost its connection comes back."""

MOST_CLOSED = 100
"""Closed pages whose sessions are kept so long; of more, the ones that were closed first are released."""

SWEEP_SEC = 10.0
"""Between two looks at all sessions."""


class GradioSessions:
    """Which sessions have an open page, and the release of the others. Thread-safe.

    A page is recognised by its heartbeat, a request that stays open as long as the page.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._closed: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._swept = clock()

    @contextlib.contextmanager
    def open(self, session: str) -> Iterator[None]:
        """A context in which `session` has an open page."""
        with self._lock:
            self._open[session] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[session] -= 1
                if not self._open[session]:
                    del self._open[session]
                    self._closed[session] = self._clock()

    def used(self, session: str) -> None:
        """A call of `session` began."""
        with self._lock:
            self._seen[session] = self._clock()

    def sweep(self, app: Any) -> None:
        """Release what is no longer used, at most once in `SWEEP_SEC`. app: Gradio's."""
        now = self._clock()
        with self._lock:
            if now - self._swept < SWEEP_SEC:
                return
            self._swept = now
            unused = [session for session in list(app.state_holder.session_data) if self._unused(session, now)]
            closed = sorted(self._closed, key=self._closed.__getitem__)
            unused += [session for session in closed[:-MOST_CLOSED] if session not in self._open]
        busy = sessions_with_events(app)
        for session in unused:
            if session not in busy:
                self.release(app, session)

    def in_use(self, app: Any) -> set[str]:
        """The sessions that have an open page, or an event that waits or runs. app: Gradio's."""
        with self._lock:
            return {*self._open, *sessions_with_events(app)}

    def release(self, app: Any, session: str) -> None:
        """Drop Gradio's state and messages of `session`, if there are any. app: Gradio's."""
        with self._lock:
            self._closed.pop(session, None)
            self._seen.pop(session, None)
        holder, queue = app.state_holder, app.get_blocks()._queue
        for stored in (
            holder.session_data, holder.time_last_used, queue.pending_messages_per_session,
            queue.pending_event_ids_session,
        ):  # fmt: skip
            stored.pop(session, None)

    def _unused(self, session: str, now: float) -> bool:
        if session in self._open:
            return False
        if session in self._closed:
            return now - self._closed[session] >= PAGE_SEC
        return now - self._seen.setdefault(session, now) >= SCRIPT_SEC


def current_session() -> str | None:
    """The session of the event being handled; None where there is none, as in a thread of our own."""
    request = LocalContext.request.get(None)
    return None if request is None else request.session_hash


def caller_gone() -> Gone:
    """A function that says whether the caller of the event being handled has disconnected since; of any thread.

    False for a call that was not queued: Gradio notices its end only when it answers.
    """
    event, _ = _current_event()
    return lambda: event is not None and not event.alive


def caller_gone_or_back() -> Gone:
    """As `caller_gone`; also whether the caller has triggered the same event again, which waits for this one's end."""
    gone = caller_gone()
    event, events = _current_event()
    if event is None:
        return gone

    def back() -> bool:
        others = (other for other in list(events.values()) if other is not event)
        return any((other.fn, other.session_hash) == (event.fn, event.session_hash) for other in others)

    return lambda: gone() or back()


def _current_event() -> tuple[Any, dict[str, Any]]:
    """The event being handled, None for a call that was not queued, and all that wait or run, by id."""
    request = LocalContext.request.get(None)
    if request is None or request.request is None:
        return None, {}
    app: Any = request.request.scope["app"]
    events = app.get_blocks()._queue.event_ids_to_events
    return events.get(LocalContext.event_id.get(None)), events


def calls_in(blocks: Any, queue: str) -> int:
    """How many events of Gradio's `queue` (a concurrency id) wait or run."""
    return sum(event.concurrency_id == queue for event in list(blocks._queue.event_ids_to_events.values()))


def sessions_with_events(app: Any) -> set[str]:
    """The sessions with an event that waits or runs."""
    return {event.session_hash for event in list(app.get_blocks()._queue.event_ids_to_events.values())}
