"""What decoding reads of a card's memory, as a share of what a copy moves there."""

from __future__ import annotations

from functools import cache
from statistics import median
from typing import Any

import torch

COPIED_BYTES = 256 << 20
"""Of the copy that is timed: beyond a card's caches, and little beside a model."""


def decoding_bytes(model: Any) -> int:
    """Bytes of the weights that a step of decoding reads, whatever the batch."""
    return sum(weight.nbytes for weight in model.decoding_weights())


@cache
def copy_rate(device: torch.device) -> float | None:
    """Bytes per second, read and written, that a copy within the card's memory moves; measured once a process.

    None on the CPU, or where there is no memory for it.
    """
    if device.type != "cuda":
        return None
    try:
        source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
    except torch.OutOfMemoryError:
        return None
    times = []
    for _ in range(12):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        events[0].record()
        target.copy_(source)
        events[1].record()
        torch.cuda.synchronize(device)
        times.append(events[0].elapsed_time(events[1]) / 1000)
    return 2 * COPIED_BYTES / median(times[2:])


def bandwidth_share(model: Any, tokens_per_sec: float | None) -> float | None:
    """The share, 0..1, of `copy_rate` at which decoding reads the weights; None where either is unknown."""
    rate = copy_rate(model.device)
    return None if rate is None or tokens_per_sec is None else decoding_bytes(model) * tokens_per_sec / rate
