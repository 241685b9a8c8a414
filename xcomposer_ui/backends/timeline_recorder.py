"""Writes down how a run's memory goes: a sample at each change of phase, and now and then between.

The run's own thread asks its meter, at the start of a block or at a token; no other thread looks into the allocator,
and the time that it takes is taken out of the run's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from xcomposer_ui.backends.memory import Meter
from xcomposer_ui.core.memory_timeline import DECODE, PREFILL, TOWER, MemorySample, MemoryTimeline

EVERY_SEC = 0.01
"""Between two samples of one phase, at least."""

MOST_KEPT = 240
"""Samples of a course that is told or kept, about: more than a chart has pixels for would only take time."""


class TimelineRecorder:
    """now: the run's clock in seconds. shift_bytes: what the meter does not see of the run, or sees beside it."""

    def __init__(self, model: Any, meter: Meter, now: Callable[[], float], shift_bytes: Callable[[], int]) -> None:
        self._meter, self._now, self._shift = meter, now, shift_bytes
        self._tower = {id(module) for module in model.vit.modules()}
        self._samples: list[MemorySample] = []
        self._phase = PREFILL
        self._started = self._last = now()

    def start(self, with_picture: bool) -> None:
        """The run begins now."""
        self._phase = TOWER if with_picture else PREFILL
        self._started = self._last = self._now()

    def block(self, block: nn.Module) -> None:
        """`block` of the tower or of the language model is about to read the prompt."""
        self._look(TOWER if id(block) in self._tower else PREFILL)

    def token(self) -> None:
        """One more token has come."""
        self._look(DECODE)

    def end(self) -> None:
        """The run is over, or broke off."""
        self._write()

    def so_far(self) -> MemoryTimeline | None:
        """The course as it is now, from any thread; None where nothing was measured."""
        samples, shift = tuple(self._samples), self._shift()
        if not samples:
            return None
        shifted = tuple(MemorySample(s.at_sec, s.phase, s.allocated_bytes + shift, s.reserved_bytes) for s in samples)
        return MemoryTimeline(self._meter.kind, self._meter.weights_bytes, shifted).thinned(MOST_KEPT)

    def _look(self, phase: str) -> None:
        if phase != self._phase or self._now() - self._last >= EVERY_SEC:
            self._write()
        self._phase = phase

    def _write(self) -> None:
        at = self._last = self._now()
        if (found := self._meter.recent()) is not None:
            self._samples.append(MemorySample(at - self._started, self._phase, *found))
