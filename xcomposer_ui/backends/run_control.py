"""Timing and stopping of a run: a token clock, and a hook before each block."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from xcomposer_ui.runtime.backend import Progress


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
