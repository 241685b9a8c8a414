"""A run's memory over time: samples, each with the phase of the run that it was taken in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby

TOWER, PREFILL, DECODE = PHASES = ("tower", "prefill", "decode")
"""tower: picture to image embeddings, projector included. prefill: the prompt. decode: the answer's further tokens."""


@dataclass(frozen=True)
class MemorySample:
    """The peak of allocated memory since the previous sample.

    at_sec: time of the sample from the start of the run's latency. allocated_bytes: weights included.
    reserved_bytes: reserved by CUDA's caching allocator at that time; None on the CPU.
    """

    at_sec: float
    phase: str
    allocated_bytes: int
    reserved_bytes: int | None = None


@dataclass(frozen=True)
class MemoryTimeline:
    """The samples of one run, oldest first; the highest is the run's peak memory.

    kind: as `Measurement.peak_memory_kind`. weights_bytes: of the run's model.
    """

    kind: str
    weights_bytes: int
    samples: tuple[MemorySample, ...]

    @property
    def peak(self) -> MemorySample:
        """The first of the highest samples. Raises ValueError where there is none."""
        return max(self.samples, key=lambda sample: sample.allocated_bytes)

    def phase_peaks(self) -> dict[str, MemorySample]:
        """Phase -> its highest sample, for the phases that the run reached."""
        highest: dict[str, MemorySample] = {}
        for sample in self.samples:
            if sample.phase not in highest or sample.allocated_bytes > highest[sample.phase].allocated_bytes:
                highest[sample.phase] = sample
        return highest

    def downsampled(self, most: int) -> MemoryTimeline:
        """The timeline in about `most` samples, at most one more per phase. Each is the peak of its neighbours."""
        stride = -(-len(self.samples) // most)
        if stride <= 1:
            return self
        merged: list[MemorySample] = []
        for _, group in groupby(self.samples, key=lambda sample: sample.phase):
            phase = list(group)
            for start in range(0, len(phase), stride):
                chunk = phase[start : start + stride]
                merged.append(replace(chunk[-1], allocated_bytes=max(sample.allocated_bytes for sample in chunk)))
        return replace(self, samples=tuple(merged))
