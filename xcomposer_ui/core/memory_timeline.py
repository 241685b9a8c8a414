"""How a run's memory went: samples over time, and in which phase of the run each was taken. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

TOWER, PREFILL, DECODE = PHASES = ("tower", "prefill", "decode")
"""tower: picture to image embeddings, projector included. prefill: the prompt. decode: one token after another."""


@dataclass(frozen=True)
class MemorySample:
    """The most that was in use at once since the sample before this one.

    at_sec: when it was taken, on the clock of the run's latency. allocated_bytes: weights included.
    reserved_bytes: what CUDA's caching allocator held at that moment; None on the CPU, which has none.
    """

    at_sec: float
    phase: str
    allocated_bytes: int
    reserved_bytes: int | None = None


@dataclass(frozen=True)
class MemoryTimeline:
    """kind: as `peak_memory_kind`. weights_bytes: of this run's model. samples: in the order of their times.

    The highest sample is the run's peak memory.
    """

    kind: str
    weights_bytes: int
    samples: tuple[MemorySample, ...]

    @property
    def peak(self) -> MemorySample:
        """The first of the highest samples. Raises ValueError where there is none."""
        return max(self.samples, key=lambda sample: sample.allocated_bytes)

    def phase_peaks(self) -> dict[str, MemorySample]:
        """Phase -> its highest sample, for the phases that the run came to."""
        highest: dict[str, MemorySample] = {}
        for sample in self.samples:
            if sample.phase not in highest or sample.allocated_bytes > highest[sample.phase].allocated_bytes:
                highest[sample.phase] = sample
        return highest

    def thinned(self, most: int) -> MemoryTimeline:
        """The same course in `most` samples or a few more: neighbours of one phase become their highest."""
        together = -(-len(self.samples) // most)
        if together <= 1:
            return self
        kept: list[MemorySample] = []
        for _, of_phase in groupby(self.samples, key=lambda sample: sample.phase):
            phase = list(of_phase)
            kept += [_joined(phase[n : n + together]) for n in range(0, len(phase), together)]
        return MemoryTimeline(self.kind, self.weights_bytes, tuple(kept))


def _joined(samples: list[MemorySample]) -> MemorySample:
    last = samples[-1]
    allocated = max(sample.allocated_bytes for sample in samples)
    return MemorySample(last.at_sec, last.phase, allocated, last.reserved_bytes)
