"""Peak memory of a run, weights included, measured without slowing the run.

"cuda_allocated"
    torch.cuda's own peak of allocated bytes, reset before the run.
"cpu_tensors"
    Bytes in live tensors: the weights, plus the highest sum of the allocations and frees that PyTorch's CPU allocator
    reports while the run goes on.

On any other device (Apple's GPU, which keeps no peak) nothing is measured, and the peak is None.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from types import TracebackType
from typing import Any, TypeAlias

import torch
from torch import nn
from torch._C import _autograd
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig

LISTENED_STEPS = 4
"""Steps that are listened to: the prefill, and as many of decoding as show that each is like the one before."""


def weights_bytes(model: nn.Module) -> int:
    """Bytes of the storages that hold `model`'s parameters and buffers, each storage once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class CpuPeak:
    """`with CpuPeak(model) as peak: …`, then `peak.peak_bytes`. Per thread: enter it where the model runs.

    Every allocation is listened to, unless `token` tells of an answer's tokens. From the second step of decoding on,
    each makes the same allocations as the one before, some larger by a fixed number of bytes: after LISTENED_STEPS,
    the last two of them alike, the meter counts each of them on at its pace instead of listening. A small model makes
    hundreds of allocations a token, and to write each down would take a tenth of its time. The sum is the same to the
    byte (the tests compare) until the cache first grows (ROOM tokens, see `models.xcomposer2.cache`); then what it
    grew by is added, and the copy of one layer, made while it grows, is left out.

    peak_bytes stays None where PyTorch was built without what this listens with.
    """

    kind = "cpu_tensors"

    def __init__(self, model: nn.Module) -> None:
        self.weights_bytes = weights_bytes(model)
        self.peak_bytes: int | None = None
        self._listener = _Listener()
        self._live = self._highest = self._recent = 0
        self._tokens = self._counted_from = 0
        self._cache_bytes: Callable[[], int] = int
        self._cache_then = 0
        self._paces: list[tuple[int, int]] = []
        # Reports of the last two steps that were heard whole, and of the one that goes on.
        self._step_before: list[int] = []
        self._step: list[int] = []
        self._heard: list[int] = []

    def __enter__(self) -> CpuPeak:
        if _Listener.there:
            self._listener.start()
        return self

    def token(self, cache_bytes: Callable[[], int]) -> None:
        """One more token has come. Call it at each token of an answer. cache_bytes: asked what the cache takes."""
        self._tokens += 1
        self._cache_bytes = cache_bytes
        if self._listener.on:
            self._take()
            self._step_before, self._step, self._heard = self._step, self._heard, []
            if self._tokens < LISTENED_STEPS or not _alike(self._step_before, self._step):
                self._listener.start()
            else:
                self._counted_from = self._tokens
                self._paces = self._paces_of_a_step()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not _Listener.there:
            return
        if self._listener.on:
            self._take()
        else:
            self._highest = max(self._highest, self._counted_on())
        self.peak_bytes = self.weights_bytes + self._highest

    def recent(self) -> tuple[int, int | None] | None:
        """(the most bytes in use since this was last asked, None), weights included; None where nothing listens.

        Asked while it listens, what was heard is added up and the listening goes on: some microseconds, and a fraction
        of one for each report.
        """
        if not _Listener.there:
            return None
        if self._listener.on:
            self._take()
            self._listener.start()
        elif self._tokens > self._counted_from:
            self._recent = self._counted_on()
        found, self._recent = self._recent, self._live
        return self.weights_bytes + found, None

    def _take(self) -> None:
        """Stop listening, and add up what was heard since it began."""
        reports = self._listener.stop()
        self._heard += reports
        heard = list(accumulate(reports, initial=self._live))
        self._live = heard[-1]
        self._cache_then = self._cache_bytes()
        self._recent = max([self._recent, *heard])
        self._highest = max(self._highest, self._recent)

    def _counted_on(self) -> int:
        """The highest sum of the last step, from the pace of the last two that were listened to."""
        steps = self._tokens - self._counted_from
        highest = max(then + steps * pace for then, pace in self._paces)
        return highest + self._cache_bytes() - self._cache_then

    def _paces_of_a_step(self) -> list[tuple[int, int]]:
        """(bytes live, by how many more each step) at reports of the last step that may be a later one's highest."""
        now = accumulate(self._step, initial=self._live - sum(self._step))
        before = accumulate(self._step_before, initial=self._live - sum(self._step) - sum(self._step_before))
        kept: list[tuple[int, int]] = []
        for then, pace in sorted(((n, n - b) for b, n in zip(before, now, strict=True)), reverse=True):
            if not kept or pace > kept[-1][1]:  # lower, and no faster, than one that is kept: never the highest
                kept.append((then, pace))
        return kept


def _alike(step: list[int], other: list[int]) -> bool:
    """Whether two steps made the same allocations and frees in the same order, of whatever sizes.

    They do, unless Python's collector frees some tensor in one of them that lay in a cycle.
    """
    return len(step) == len(other) and all((a > 0) == (b > 0) for a, b in zip(step, other, strict=True))


class _Listener:
    """The allocator's reports of one thread, kept by PyTorch's own older profiler: it keeps a list and nothing else.

    The newer one sorts each report into a tree of operations at its end, which takes twenty times as long, and warns
    on stderr that it found no operations; recording operations is what slows a run, so none is recorded here.
    """

    there = all(
        hasattr(_autograd, name)
        for name in ("_enable_profiler_legacy", "_disable_profiler_legacy", "_enable_record_function")
    )

    def __init__(self) -> None:
        self.on = False

    def start(self) -> None:
        _autograd._enable_record_function(False)
        _autograd._enable_profiler_legacy(_MEMORY_ALONE)
        self.on = True

    def stop(self) -> list[int]:
        """Bytes by which each report changed what is live, in their order."""
        self.on = False
        threads = _autograd._disable_profiler_legacy()
        _autograd._enable_record_function(True)
        return [event.cpu_memory_usage() for events in threads for event in events]


_MEMORY_ALONE = ProfilerConfig(
    ProfilerState.CPU,
    False,  # input shapes
    True,  # memory
    False,  # stacks
    False,  # flops
    False,  # modules
    _ExperimentalConfig(),
)


class CudaPeak:
    """`with CudaPeak(model) as peak: …`, then `peak.peak_bytes`."""

    kind = "cuda_allocated"

    def __init__(self, model: Any, others_bytes: int = 0) -> None:
        """others_bytes: of other weights on the device, which are no part of this run and are taken out."""
        self._device = model.device
        self._others = others_bytes
        self._highest = 0
        self.weights_bytes = weights_bytes(model)
        self.peak_bytes: int | None = None

    def __enter__(self) -> CudaPeak:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def token(self, cache_bytes: Callable[[], int]) -> None:
        """Nothing to do: torch.cuda keeps the peak itself."""

    def recent(self) -> tuple[int, int | None] | None:
        """(the most bytes allocated since this was last asked, bytes reserved now), by the host's order of events.

        Asking does not wait for the device: allocations are made when work is handed to it, which may be ahead of it.
        """
        allocated = torch.cuda.max_memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._highest = max(self._highest, allocated)
        return allocated - self._others, torch.cuda.memory_reserved(self._device)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        torch.cuda.synchronize(self._device)
        self._highest = max(self._highest, torch.cuda.max_memory_allocated(self._device))
        self.peak_bytes = self._highest - self._others


class NoPeak:
    """Stands for a meter on a device that keeps no peak: only the weights are counted.

    PyTorch tells what is allocated on Apple's GPU at a moment (`torch.mps.current_allocated_memory`), never the most.
    """

    kind = "unmeasured"
    peak_bytes: None = None

    def __init__(self, model: nn.Module) -> None:
        self.weights_bytes = weights_bytes(model)

    def __enter__(self) -> NoPeak:
        return self

    def token(self, cache_bytes: Callable[[], int]) -> None:
        """Nothing to do."""

    def recent(self) -> None:
        """None: not measured."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to do."""


Meter: TypeAlias = CpuPeak | CudaPeak | NoPeak


def meter_of(model: Any, others_bytes: int = 0) -> Meter:
    """The meter for where `model` is. others_bytes: of other weights beside it, which a card's meter takes out."""
    if model.device.type == "cuda":
        return CudaPeak(model, others_bytes)
    return CpuPeak(model) if model.device.type == "cpu" else NoPeak(model)
