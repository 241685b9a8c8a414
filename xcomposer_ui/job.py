"""One piece of work for the worker, and what there is to tell of it until it has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from xcomposer_ui.backend import Progress
from xcomposer_ui.records import Event, Loading, MemorySoFar, TextSoFar

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
                if course := self.progress.memory():
                    yield MemorySoFar(course)

    def result(self) -> Result:
        """The result, once the work has ended. Raises what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result
