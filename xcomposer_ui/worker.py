"""The one thread that computes: it lives as long as the runner, and takes one piece of work after another."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class Worker:
    """A thread that does what it is given, in the order given; it begins with the first work and ends with the Worker.

    One thread for all runs, because OpenMP keeps a team of threads for each thread that computes: a thread a run
    would make a team a run, and each team's first steps are slow, and the next ones slow while the teams before it
    still spin. Work must not raise.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        weakref.finalize(self, self._waiting.put, None)  # at the end of the process too

    def do(self, work: Work) -> None:
        """Have `work` done when the work before it is."""
        with self._starting:
            if self._thread is None:
                # A daemon: a run that nobody waits for must not keep the process from ending. It holds the queue and
                # not the Worker, whose end would never come otherwise.
                self._thread = threading.Thread(target=_do_all, args=(self._waiting,), name="worker", daemon=True)
                self._thread.start()
        self._waiting.put(work)


def _do_all(waiting: SimpleQueue[Work | None]) -> None:
    while (work := waiting.get()) is not None:
        work()
        del work  # while nothing is done, nothing is held
