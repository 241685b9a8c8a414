"""The CPU's memory figure against what is known to be allocated."""

from __future__ import annotations

import threading

import torch
from torch import nn

from xcomposer_ui.backends.memory import CpuPeak, weights_bytes

MIB = 2**20


def test_weights_count_each_storage_once() -> None:
    model = nn.Linear(256, 256, bias=False)
    tied = nn.ModuleList([model, nn.Linear(256, 256, bias=False)])
    tied[1].weight = model.weight
    assert weights_bytes(tied) == 256 * 256 * 4


def test_peak_is_the_weights_and_the_most_that_was_live_at_once() -> None:
    model = nn.Linear(16, 16, bias=False)
    with CpuPeak(model) as peak:
        first = torch.empty(3 * MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        third = torch.empty(1 * MIB, dtype=torch.uint8)
        del second, third
    assert peak.peak_bytes == 16 * 16 * 4 + 5 * MIB


def test_taking_events_in_between_loses_nothing() -> None:
    model = nn.Linear(1, 1, bias=False)
    with CpuPeak(model) as peak:
        first = torch.empty(4 * MIB, dtype=torch.uint8)
        peak.take_events(go_on=True)
        second = torch.empty(3 * MIB, dtype=torch.uint8)
        del first, second
    assert peak.peak_bytes == 4 + 7 * MIB


def test_peak_is_known_after_a_failure() -> None:
    peak = CpuPeak(nn.Linear(1, 1, bias=False))
    try:
        with peak:
            torch.empty(2 * MIB, dtype=torch.uint8)
            raise RuntimeError
    except RuntimeError:
        pass
    assert peak.peak_bytes == 4 + 2 * MIB


def test_another_threads_tensors_do_not_count() -> None:
    with CpuPeak(nn.Linear(1, 1, bias=False)) as peak:
        other = threading.Thread(target=lambda: torch.empty(8 * MIB, dtype=torch.uint8))
        other.start()
        other.join()
    assert peak.peak_bytes == 4


def test_the_figure_equals_the_allocators_own_total() -> None:
    """Against torch.profiler's recorded totals, on a small network."""
    net = nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 64))
    x = torch.randn(128, 64)

    def call() -> None:
        with torch.no_grad():
            net(net(x))

    call()
    with CpuPeak(net) as peak:
        call()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    live = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            highest = max(highest, live)
    assert peak.peak_bytes == weights_bytes(net) + highest
