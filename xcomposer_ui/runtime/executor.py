"""The one thread that computes, and the jobs that it is given, with their progress."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from xcomposer_ui.core.events import Event, Loading, MemorySoFar, TextSoFar
from xcomposer_ui.runtime.backend import Progress

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


BEAT_SEC = 0.25
"""Between two signs of life of work that has no text to show; each is a chance to stop it."""

TELL_EVERY_SEC = 0.05
"""Between two looks at how far the run has come; decoding the text more often would take time from the model."""

TELL_MEMORY_EVERY_SEC = 0.25
"""Between two tellings of how the memory went: a chart is looked at, not read along."""

Result = TypeVar("Result")


class Job(Generic[Result]):
    """One run's work: done by the worker, and asked how far it has come by whoever waits for it."""

    def __init__(self, work: Callable[[Progress], Result]) -> None:
        self.progress = Progress()
        self._work = work
        self._done = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None

    def work(self, after: Callable[[], Any]) -> None:
        """Work to the end; `after` is called when it has really ended."""
        try:
            self._result = self._work(self.progress)
        except BaseException as error:  # raised again in the thread that waits for the result
            self._error = error
        finally:
            after()
            self._done.set()

    def waited_for(self) -> Result:
        """The result, when the work has ended. Raises what the work raised."""
        self._done.wait()
        return self.result()

    def beats(self) -> Generator[None, None, None]:
        """A beat now and then, until the work has ended."""
        while not self._done.wait(BEAT_SEC):
            yield

    def events(self, loading: Loading) -> Generator[Event, None, None]:
        """What there is to tell, until the work has ended."""
        memory_told = time.monotonic()
        told: str | tuple[str, float | None] = ""
        while not self._done.wait(TELL_EVERY_SEC):
            if self.progress.text is None:
                if told != (known := (self.progress.stage, self.progress.fraction)):
                    told = known
                    yield replace(loading, stage=known[0], fraction=known[1])
            elif (text := self.progress.text()) and text != told:
                told = text
                yield TextSoFar(text)
            if self.progress.memory is not None and time.monotonic() - memory_told >= TELL_MEMORY_EVERY_SEC:
                memory_told = time.monotonic()
                if timeline := self.progress.memory():
                    yield MemorySoFar(timeline)

    def result(self) -> Result:
        """The result, once the work has ended. Raises what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result
