"""The worker thread that runs the model, and its jobs with their progress."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from xcomposer_ui.core.events import Event, Loading, MemorySoFar, TextSoFar
from xcomposer_ui.runtime.backend import Progress
from xcomposer_ui.runtime.model_queue import POLL_SEC


class Worker:
    """A thread that runs queued work in order. It starts with the first work and ends when the Worker is deleted.

    All runs share one thread, because OpenMP keeps a thread pool for each thread that computes: a new thread per run
    would create a new pool per run, whose first steps are slow and compete with the idle pools, which still spin.
    Work must not raise.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        weakref.finalize(self, self._queue.put, None)  # at the end of the process too

    def submit(self, work: Callable[[], None]) -> None:
        """Add `work` to the end of the queue."""
        with self._starting:
            if self._thread is None:
                # A daemon, so that a run does not keep the process from exiting. It references the queue and not the
                # Worker, which would otherwise never be deleted.
                self._thread = threading.Thread(target=_run_all, args=(self._queue,), name="worker", daemon=True)
                self._thread.start()
        self._queue.put(work)


def _run_all(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := queue.get()) is not None:
        work()
        del work  # an idle worker keeps no reference to the last work


TEXT_EVERY_SEC = 0.05
"""Interval between two readings of the answer so far; decoding the text more often would slow the model."""

MEMORY_EVERY_SEC = 0.25
"""Interval between two memory timelines."""

Result = TypeVar("Result")


class Job(Generic[Result]):
    """One run's work: computed by the worker thread, its progress read by the thread that waits for it.

    The work sees the context variables of the thread that made the job: a ZeroGPU Space counts it to the visitor whose
    request is among them. As a context manager it stops the work if the context is left before the work has ended.
    """

    def __init__(self, work: Callable[[Progress], Result]) -> None:
        self.progress = Progress()
        self._work, self._context = work, copy_context()
        self._done = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Job[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop.set()

    def work(self, after: Callable[[], Any]) -> None:
        """Run the work in this thread, then call `after`."""
        try:
            self._result = self._context.run(self._work, self.progress)
        except BaseException as error:  # raised again in the thread that waits for the result
            self._error = error
        finally:
            after()
            self._done.set()

    def poll(self, every_sec: float = POLL_SEC) -> Generator[None, None, None]:
        """Yield every `every_sec` until the work has ended."""
        while not self._done.wait(every_sec):
            yield

    def events(self, loading: Loading) -> Generator[Event, None, None]:
        """Yield the run's events until the work has ended; where nothing is new for POLL_SEC, the last one again.

        A caller that is gone can close the generator only between two events.
        """
        latest: Event | None = None
        yielded_at = memory_at = time.monotonic()
        while not self._done.wait(TEXT_EVERY_SEC):
            event, now = self._state(loading), time.monotonic()
            if event != latest or now - yielded_at >= POLL_SEC:
                latest, yielded_at = event, now
                yield event
            if self.progress.memory is not None and now - memory_at >= MEMORY_EVERY_SEC:
                memory_at = now
                if timeline := self.progress.memory():
                    yield MemorySoFar(timeline)

    def _state(self, loading: Loading) -> Event:
        if self.progress.trials is not None:
            return self.progress.trials
        if self.progress.text is None:
            return replace(loading, stage=self.progress.stage, fraction=self.progress.fraction)
        return TextSoFar(self.progress.text())

    def result(self) -> Result:
        """The result of work that has ended. Raises what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result
