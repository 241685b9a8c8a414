"""Peak memory of a run, weights included, measured without slowing the run.

"cuda_allocated"
    torch.cuda's own peak of allocated bytes, reset before the run.
"cpu_tensors"
    Bytes in live tensors: the weights, plus the highest sum of the allocations and frees that PyTorch's CPU allocator
    reports while the run goes on. The profiler is switched on for allocations alone, not for operations, which costs
    a C++ append for each: within the noise of the run's own time (tests/benchmarks measures it).
"""

from __future__ import annotations

from types import TracebackType

import torch
from torch import nn
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig
from torch.autograd import (
    ProfilerActivity,
    _disable_profiler,
    _enable_profiler,
    _prepare_profiler,
    kineto_available,
)

# The profiler wants some activity to record. This accelerator's there is none of on a machine that runs this, so
# nothing is recorded beside the allocations: no operation, and no CUDA tracing is started either.
_ALLOCATIONS_ONLY = {ProfilerActivity.MTIA}


def weights_bytes(model: nn.Module) -> int:
    """Bytes of the storages that hold `model`'s parameters and buffers, each storage once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class CpuPeak:
    """`with CpuPeak(model) as peak: …`, then `peak.peak_bytes`. Per thread: enter it where the model runs.

    peak_bytes stays None where PyTorch was built without its profiler.
    """

    kind = "cpu_tensors"

    def __init__(self, model: nn.Module) -> None:
        self._weights = weights_bytes(model)
        self._live = self._highest = 0
        self.peak_bytes: int | None = None

    def __enter__(self) -> CpuPeak:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.take_events()
        if kineto_available():
            self.peak_bytes = self._weights + self._highest

    def take_events(self, go_on: bool = False) -> None:
        """Add up what was reported so far; with `go_on`, keep listening. A long run's record would grow without end."""
        if not kineto_available():
            return
        for event in _disable_profiler().events():
            if event.name() == "[memory]":
                self._live += event.nbytes()
                self._highest = max(self._highest, self._live)
        if go_on:
            self._start()

    def _start(self) -> None:
        if kineto_available():
            _prepare_profiler(_profiler_config(), _ALLOCATIONS_ONLY)
            _enable_profiler(_profiler_config(), _ALLOCATIONS_ONLY)


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

    def take_events(self, go_on: bool = False) -> None:
        """Nothing to do: torch.cuda keeps the peak itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        torch.cuda.synchronize(self._device)
        self.peak_bytes = torch.cuda.max_memory_allocated(self._device) - self._others


def _profiler_config() -> ProfilerConfig:
    return ProfilerConfig(
        ProfilerState.KINETO,
        False,  # input shapes
        True,  # memory
        False,  # stacks
        False,  # flops
        False,  # modules
        _ExperimentalConfig(),
    )
