"""A run's times by a card's own events, and what decoding reads as a share of what a copy moves there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    del source, target
    torch.cuda.empty_cache()
    return 2 * COPIED_BYTES / median(times[2:])


def bandwidth_share(model: Any, tokens_per_sec: float | None) -> float | None:
    """The share, 0..1, of `copy_rate` at which decoding reads the weights; None where either is unknown."""
    rate = copy_rate(model.device)
    return None if rate is None or tokens_per_sec is None else decoding_bytes(model) * tokens_per_sec / rate


class DeviceClock:
    """Events on a card at the start of a run, and around each step from its embedding to its logits.

    What the host does between two steps, choosing a token, is in no step. Elsewhere nothing is recorded.
    """

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self._device = device
        self._start: Any = None
        self._begun: Any = None
        self._steps: list[tuple[Any, Any]] = []

    @contextmanager
    def on(self, model: Any) -> Iterator[None]:
        """A context in which the steps of `model` are recorded; it is the run's start."""
        if not self._on:
            yield
            return
        self._start = self._mark()
        begin = model.get_input_embeddings().register_forward_pre_hook(self._begin)
        with begin, model.get_output_embeddings().register_forward_hook(self._end):
            yield

    def figures(self, *, recorded: bool) -> dict[str, Any]:
        """The fields of a `Measurement`, in seconds; waits for the card.

        recorded: whether a graph was recorded during the run, which is then part of some step.
        """
        names = "device_latency_sec", "device_time_to_first_token_sec", "device_tokens_per_sec"
        if not self._steps:
            return dict.fromkeys(names)
        torch.cuda.synchronize(self._device)
        first = self._start.elapsed_time(self._steps[0][1]) / 1000
        steps = [begun.elapsed_time(ended) / 1000 for begun, ended in self._steps[1:]]
        self._steps = []
        latency = None if recorded else first + sum(steps)
        return dict(zip(names, (latency, first, 1 / median(steps) if steps else None), strict=True))

    def _mark(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _begin(self, *_: object) -> None:
        self._begun = self._mark()

    def _end(self, *_: object) -> None:
        self._steps.append((self._begun, self._mark()))
