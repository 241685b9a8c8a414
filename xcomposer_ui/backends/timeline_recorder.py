"""Records a run's memory over time: a sample at each change of phase, and at intervals between.

The run's own thread reads its meter, at the start of a block or at a token, and not on the run's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from xcomposer_ui.backends.memory import Meter
from xcomposer_ui.core.memory_timeline import DECODE, PREFILL, TOWER, MemorySample, MemoryTimeline

EVERY_SEC = 0.01
"""Shortest interval between two samples of one phase."""

MOST_KEPT = 240
"""About how many samples of a timeline are shown or kept: a chart has no pixels for more."""


class TimelineRecorder:
    """now: the run's clock in seconds. correction_bytes: what to add to the meter's figures."""

    def __init__(self, model: Any, meter: Meter, now: Callable[[], float], correction_bytes: Callable[[], int]) -> None:
        self._meter, self._now, self._correction = meter, now, correction_bytes
        self._tower = {id(module) for module in model.tower.modules()}
        self._samples: list[MemorySample] = []
        self._phase, self._reached_block = PREFILL, False
        self._started = self._last = now()

    def start(self, with_picture: bool) -> None:
        """Start the timeline now. with_picture: that the run needs, encoded in it or in an earlier one."""
        self._phase = TOWER if with_picture else PREFILL
        self._started = self._last = self._now()

    def block(self, block: nn.Module) -> None:
        """Sample where `block`, of the tower or the language model, is about to read the prompt."""
        phase = TOWER if id(block) in self._tower else PREFILL
        if not self._reached_block:  # the prompt's, where the picture was encoded in an earlier run
            self._phase, self._reached_block = phase, True
        self._sample_if_due(phase)

    def token(self) -> None:
        self._sample_if_due(DECODE)

    def end(self) -> None:
        self._sample()

    def so_far(self) -> MemoryTimeline | None:
        """The timeline up to now, from any thread; None where nothing was measured."""
        samples, shift = tuple(self._samples), self._correction()
        if not samples:
            return None
        shifted = tuple(MemorySample(s.at_sec, s.phase, s.allocated_bytes + shift, s.reserved_bytes) for s in samples)
        return MemoryTimeline(self._meter.kind, self._meter.weights_bytes, shifted).downsampled(MOST_KEPT)

    def _sample_if_due(self, phase: str) -> None:
        if phase != self._phase or self._now() - self._last >= EVERY_SEC:
            self._sample()
        self._phase = phase

    def _sample(self) -> None:
        at = self._last = self._now()
        if (found := self._meter.recent()) is not None:
            self._samples.append(MemorySample(at - self._started, self._phase, *found))
