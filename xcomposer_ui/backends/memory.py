"""Peak memory of a run, weights included, measured without slowing the run.

"cuda_allocated"
    torch.cuda's own peak of allocated bytes, reset before the run.
"cpu_tensors"
    Bytes in live tensors: the weights, plus the highest sum of the allocations and frees that PyTorch's CPU allocator
    makes during the run.

On any other device (Apple's GPU, which keeps no peak) nothing is measured, and the peak is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.torch_private import AllocatorEvents

RECORDED_STEPS = 4
"""Steps that are recorded: the prefill, and as many of decoding as show that each is like the one before."""


def weights_bytes(model: nn.Module) -> int:
    """Bytes of the storages that hold `model`'s parameters and buffers, each storage once."""
    return storage_bytes([*model.parameters(), *model.buffers()])


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages that hold `tensors`, each storage once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class Meter:
    """`with meter: …`, then `meter.peak_bytes`. Per thread: enter it where the model runs.

    This one is for a device that keeps no peak: only the weights are counted. PyTorch reports what is allocated on
    Apple's GPU at a moment (`torch.mps.current_allocated_memory`), never the most.
    """

    kind = "unmeasured"

    def __init__(self, model: nn.Module) -> None:
        self.weights_bytes = weights_bytes(model)
        self.peak_bytes: int | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def token(self, cache_bytes: Callable[[], int]) -> None:
        """Count one more token of the answer. cache_bytes: returns the size of the KV cache."""

    def recent(self) -> tuple[int, int | None] | None:
        """(most bytes in use since the last call, weights included; bytes reserved); None where not measured."""
        return None

    def live_bytes(self) -> int | None:
        """Bytes in use now, weights included; None where not measured."""
        return None

    def figures(self, correction_bytes: int) -> dict[str, Any]:
        """The fields of a `Measurement`. correction_bytes: to add to the peak."""
        peak_bytes = None if self.peak_bytes is None else self.peak_bytes + correction_bytes
        return {
            "peak_memory_bytes": peak_bytes,
            "peak_memory_kind": None if peak_bytes is None else self.kind,
            "weights_bytes": self.weights_bytes,
        }


class CpuPeak(Meter):
    """The meter of the CPU.

    Every allocation is recorded, unless `token` reports an answer's tokens. From the second decoding step on, each step
    makes the same allocations as the one before, some larger by a fixed number of bytes. So after RECORDED_STEPS, if
    the last two were alike, the meter extrapolates instead of recording: a small model makes hundreds of allocations a
    token, and recording them takes a tenth of its time. The result is exact to the byte (the tests compare) until the
    cache first grows (`models.cache.GROWTH`); after that its growth is added, but not the temporary copy of one layer.
    """

    kind = "cpu_tensors"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._events = AllocatorEvents()
        self._live = self._highest = self._recent = 0
        self._tokens = self._recorded_tokens = 0
        self._cache_bytes: Callable[[], int] = int
        self._recorded_cache_bytes = 0
        self._growths: list[tuple[int, int]] = []
        # Events of the last two whole steps, and of the current one.
        self._step_before: list[int] = []
        self._step: list[int] = []
        self._current: list[int] = []

    def __enter__(self) -> CpuPeak:
        self._events.start()
        return self

    def token(self, cache_bytes: Callable[[], int]) -> None:
        self._tokens += 1
        self._cache_bytes = cache_bytes
        if self._events.on:
            self._take()
            self._step_before, self._step, self._current = self._step, self._current, []
            if self._tokens < RECORDED_STEPS or not _alike(self._step_before, self._step):
                self._events.start()
            else:
                self._recorded_tokens = self._tokens
                self._growths = self._growths_of_a_step()

    def __exit__(self, *_: object) -> None:
        if self._events.on:
            self._take()
        else:
            self._highest = max(self._highest, self._extrapolated())
        self.peak_bytes = self.weights_bytes + self._highest

    def recent(self) -> tuple[int, None]:
        """As of any meter; takes some microseconds, and a fraction of one for each recorded event."""
        if self._events.on:
            self._take()
            self._events.start()
        elif self._tokens > self._recorded_tokens:
            self._recent = self._extrapolated()
        found, self._recent = self._recent, self._live
        return self.weights_bytes + found, None

    def live_bytes(self) -> int:
        """As of any meter, while everything is recorded."""
        self.recent()
        return self.weights_bytes + self._live

    def _take(self) -> None:
        """Stop recording, and add up the events."""
        events = self._events.stop()
        self._current += events
        levels = list(accumulate(events, initial=self._live))
        self._live = levels[-1]
        self._recorded_cache_bytes = self._cache_bytes()
        self._recent = max([self._recent, *levels])
        self._highest = max(self._highest, self._recent)

    def _extrapolated(self) -> int:
        """The highest level of the last step, from the growth between the last two recorded steps."""
        steps = self._tokens - self._recorded_tokens
        highest = max(live + steps * growth for live, growth in self._growths)
        return highest + self._cache_bytes() - self._recorded_cache_bytes

    def _growths_of_a_step(self) -> list[tuple[int, int]]:
        """(live bytes, growth per step) at the events of the last step that may be the peak of a later one."""
        now = accumulate(self._step, initial=self._live - sum(self._step))
        before = accumulate(self._step_before, initial=self._live - sum(self._step) - sum(self._step_before))
        kept: list[tuple[int, int]] = []
        for live, growth in sorted(((n, n - b) for b, n in zip(before, now, strict=True)), reverse=True):
            if not kept or growth > kept[-1][1]:  # lower and growing no faster than a kept one: never the highest
                kept.append((live, growth))
        return kept


def _alike(step: list[int], other: list[int]) -> bool:
    """Whether two steps made allocations and frees in the same order, whatever their sizes.

    They do, unless Python's garbage collector frees a tensor during one of them.
    """
    return len(step) == len(other) and all((a > 0) == (b > 0) for a, b in zip(step, other, strict=True))


class CudaPeak(Meter):
    """The meter of a card, whose peak torch.cuda keeps itself."""

    kind = "cuda_allocated"

    def __init__(self, model: Any, others_bytes: int = 0) -> None:
        """others_bytes: of other weights on the device, which are not part of this run and are subtracted."""
        super().__init__(model)
        self._device = model.device
        self._others = others_bytes
        self._highest = 0

    def __enter__(self) -> CudaPeak:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def recent(self) -> tuple[int, int | None] | None:
        """As of any meter, by the host's order of events.

        This does not wait for the device: allocations are made when work is queued, which may be ahead of it.
        """
        allocated = torch.cuda.max_memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._highest = max(self._highest, allocated)
        return allocated - self._others, torch.cuda.memory_reserved(self._device)

    def live_bytes(self) -> int | None:
        return torch.cuda.memory_allocated(self._device) - self._others

    def __exit__(self, *_: object) -> None:
        torch.cuda.synchronize(self._device)
        self._highest = max(self._highest, torch.cuda.max_memory_allocated(self._device))
        self.peak_bytes = self._highest - self._others


def meter_of(model: Any, others_bytes: int = 0) -> Meter:
    """The meter for where `model` is. others_bytes: of other weights beside it, which a card's meter subtracts."""
    if model.device.type == "cuda":
        return CudaPeak(model, others_bytes)
    return CpuPeak(model) if model.device.type == "cpu" else Meter(model)
