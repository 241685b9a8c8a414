"""Peak memory of a run, weights included, measured without slowing the run.

"cuda_allocated"
    torch.cuda's own peak of allocated bytes, reset before the run.
"cpu_tensors"
    Bytes in live tensors: the weights, plus the highest sum of the allocations and frees that PyTorch's CPU allocator
    reports while the run goes on.
"""

from __future__ import annotations

from itertools import accumulate
from types import TracebackType

import torch
from torch import nn
from torch._C import _autograd
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig

LISTENED_STEPS = 5
"""Steps that are listened to: the prefill, and as many of decoding as show that each is like the one before."""


def weights_bytes(model: nn.Module) -> int:
    """Bytes of the storages that hold `model`'s parameters and buffers, each storage once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class CpuPeak:
    """`with CpuPeak(model) as peak: …`, then `peak.peak_bytes`. Per thread: enter it where the model runs.

    Every allocation is listened to, unless `token` tells of an answer's tokens. From the second step of decoding on,
    each makes the same allocations as the one before, some larger by a fixed number of bytes: after LISTENED_STEPS the
    meter counts each of them on at its pace instead of listening. A small model makes hundreds of allocations a token,
    and to write each down would take a tenth of its time. The sum is the same to the byte (the tests compare) until
    the cache first grows (ROOM tokens, see `models.xcomposer2.cache`); then what it grew by is added, and the copy of
    one layer, made while it grows, is left out.

    peak_bytes stays None where PyTorch was built without what this listens with.
    """

    kind = "cpu_tensors"

    def __init__(self, model: nn.Module) -> None:
        self._weights = weights_bytes(model)
        self.peak_bytes: int | None = None
        self._listener = _Listener()
        self._live = self._highest = 0
        self._tokens = 0
        self._cache = self._cache_then = 0
        # What was live after each allocation and free of the last two steps that were listened to.
        self._step_before: list[int] = []
        self._step: list[int] = []

    def __enter__(self) -> CpuPeak:
        if _Listener.there:
            self._listener.start()
        return self

    def token(self, cache_bytes: int) -> None:
        """One more token has come, and the cache now takes `cache_bytes`. Call it at each token of an answer."""
        self._tokens += 1
        self._cache = cache_bytes
        if self._listener.on:
            self._take()
            if self._tokens < LISTENED_STEPS:
                self._listener.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not _Listener.there:
            return
        if self._listener.on:
            self._take()
        else:
            self._highest = max(self._highest, self._counted_on())
        self.peak_bytes = self._weights + self._highest

    def _take(self) -> None:
        """Stop listening, and add up what was heard since the start or the last token."""
        self._step_before = self._step
        self._step = list(accumulate(self._listener.stop(), initial=self._live))
        self._live = self._step[-1]
        self._cache_then = self._cache
        self._highest = max(self._highest, *self._step)

    def _counted_on(self) -> int:
        """The highest sum of the last step, from the pace of the last two that were listened to."""
        steps = self._tokens - LISTENED_STEPS
        pairs = zip(self._step_before, self._step, strict=False)  # as many, in a model that does the same each step
        return max(now + steps * (now - before) for before, now in pairs) + self._cache - self._cache_then


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
    """`with CudaPeak(device) as peak: …`, then `peak.peak_bytes`."""

    kind = "cuda_allocated"

    def __init__(self, device: torch.device, others_bytes: int = 0) -> None:
        """others_bytes: of other weights on the device, which are no part of this run and are taken out."""
        self._device = device
        self._others = others_bytes
        self.peak_bytes: int | None = None

    def __enter__(self) -> CudaPeak:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def token(self, cache_bytes: int) -> None:
        """Nothing to do: torch.cuda keeps the peak itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        torch.cuda.synchronize(self._device)
        self.peak_bytes = torch.cuda.max_memory_allocated(self._device) - self._others
