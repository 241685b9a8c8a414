"""Timing and stopping of a run: a token clock, a hook before each block, a card's own events.

What decoding reads is a share of what a copy moves on the card.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from xcomposer_ui.runtime.backend import Progress

COPIED_BYTES = 256 << 20
"""Of the copy that is timed: beyond a card's caches, and little beside a model."""


class Stopped(BaseException):
    """Raised inside the model to end a run in the middle of a forward. A BaseException, so that it is not taken for a
    failure of the model."""


class TokenClock:
    """A streamer for `generate`: records each token and its time, by a clock that can be paused.

    on_token: called at each token, for measuring. The time of recording and measuring is added to `paused_sec` and not
    to the clock. ids: of a batch, those of each step together. times: of each step, in seconds of `now`.
    """

    def __init__(self, stop: Callable[[], bool], on_token: Callable[[], None] = lambda: None) -> None:
        self.ids: list[int] = []
        self.times: list[float] = []
        self.paused_sec = 0.0
        self._paused_at: float | None = None  # the clock's time while it is paused
        self._stop, self._on_token = stop, on_token
        self._prompt_seen = False

    def now(self) -> float:
        """Seconds since an arbitrary moment, without the time of measuring."""
        return time.perf_counter() - self.paused_sec if self._paused_at is None else self._paused_at

    @contextmanager
    def paused(self) -> Iterator[None]:
        began = time.perf_counter()
        self._paused_at = self.now()
        try:
            yield
        finally:
            self._paused_at = None
            self.paused_sec += time.perf_counter() - began

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:  # `generate` passes the prompt first
            self._prompt_seen = True
            return
        began = time.perf_counter()
        self._paused_at = began - self.paused_sec
        self.times.append(self._paused_at)
        try:  # `paused` inlined: a context manager is a measurable part of a small model's token
            self.ids += value.tolist()
            self._on_token()
            if self._stop():
                raise Stopped
        finally:
            self._paused_at = None
            self.paused_sec += time.perf_counter() - began

    def end(self) -> None:
        """Nothing to flush."""

    @property
    def step_sec(self) -> float:
        """Between the last two tokens; infinite below two."""
        return self.times[-1] - self.times[-2] if len(self.times) > 1 else math.inf


def tokens_per_sec(times: Sequence[float]) -> float | None:
    """The rate after the first token, of tokens at `times` in seconds; None below two tokens."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None


class BlockWatch:
    """A context in which every block of the model first checks for a stop: prefill alone may take a minute.

    on_block: called with each block before it computes. Raises Stopped inside the model.
    """

    def __init__(
        self, model: nn.Module, progress: Progress, on_block: Callable[[nn.Module], None] | None = None
    ) -> None:
        self._model, self._progress, self._on_block = model, progress, on_block
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> BlockWatch:
        blocks = [m for m in self._model.modules() if type(m).__name__ in self._model._no_split_modules]
        self._hooks = [block.register_forward_pre_hook(self._before) for block in blocks]
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Remove the hooks: calling a module without hooks takes half the time, measurable in a small model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before(self, block: nn.Module, _: Any) -> None:
        if self._progress.stop.is_set():
            raise Stopped
        if self._on_block is not None:
            self._on_block(block)


def decoding_bytes(model: Any) -> int:
    """Bytes of the weights that a step of decoding reads, whatever the batch."""
    return sum(weight.nbytes for weight in model.decoding_weights())


def event_now() -> Any:
    """An event on the card, recorded behind what is queued there."""
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


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
        started = event_now()
        target.copy_(source)
        ended = event_now()
        torch.cuda.synchronize(device)
        times.append(started.elapsed_time(ended) / 1000)
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
        self._start = event_now()
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

    def _begin(self, *_: object) -> None:
        self._begun = event_now()

    def _end(self, *_: object) -> None:
        self._steps.append((self._begun, event_now()))
