"""How a run's memory went, as a record."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.memory_timeline import MemorySample, MemoryTimeline

SAMPLES = (
    MemorySample(0.1, "tower", 5),
    MemorySample(0.2, "prefill", 9, 20),
    MemorySample(0.3, "prefill", 7, 20),
    *(MemorySample(0.4 + n / 100, "decode", 6 + n % 2, 20 + n) for n in range(10)),
)
COURSE = MemoryTimeline("cpu_tensors", 4, SAMPLES)


def test_the_peak_and_each_phases_are_its_highest_samples() -> None:
    assert COURSE.peak == SAMPLES[1]
    assert {phase: sample.allocated_bytes for phase, sample in COURSE.phase_peaks().items()} == {
        "tower": 5,
        "prefill": 9,
        "decode": 7,
    }


@pytest.mark.parametrize("most", [1, 3, 5, 12])
def test_a_downsampled_timeline_keeps_phases_and_their_peaks(most: int) -> None:
    downsampled = COURSE.downsampled(most)
    assert len(downsampled.samples) <= most + 3
    assert {p: s.allocated_bytes for p, s in downsampled.phase_peaks().items()} == {
        "tower": 5,
        "prefill": 9,
        "decode": 7,
    }
    assert downsampled.samples[-1].at_sec == SAMPLES[-1].at_sec
    assert downsampled.samples[-1].reserved_bytes == 29


def test_what_is_short_stays_as_it_is() -> None:
    assert COURSE.downsampled(13) is COURSE
