"""PyTorch's private parts that the lab uses, each with its reason; `tests/backends/test_torch_private.py` checks them.

Nothing else in the package names a private part of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._C import _autograd
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = [
    "AllocatorEvents",
    "FakeTensorMode",  # tensors without storage; torch.compile is built on it, and no public name exports it
    "StorageTracker",
    "StorageWeakRef",  # keeps a storage's address from being reused while it is a dictionary's key
    "TorchDispatchMode",  # sees operations below autocast; the documented way, in a module that is not public
    "is_alone_in_its_storage",
    "storage_key",
    "tree_map",  # over nested arguments of an operation
    "writes_into_an_operand",
]


class AllocatorEvents:
    """The CPU allocator's allocations and frees in one thread, recorded by PyTorch's older profiler.

    No public interface reports them. The newer profiler sorts each event into a tree of operations at its end, which
    takes twenty times as long, and warns on stderr that it found no operations. Recording operations is what slows a
    run, so it is switched off meanwhile.
    """

    def __init__(self) -> None:
        self.on = False

    def start(self) -> None:
        _autograd._enable_record_function(False)
        _autograd._enable_profiler_legacy(_MEMORY_ALONE)
        self.on = True

    def stop(self) -> list[int]:
        """The change of live bytes at each event, in their order."""
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


class _NoModules:
    """Replaces MemTracker's module tracker: no hooks, no module statistics, never in a backward pass."""

    is_bw = False
    parents = frozenset({"Global"})

    def register_user_hooks(self, *hooks: Any) -> None:
        """Register none."""

    def clear_user_hooks(self) -> None:
        """Nothing to remove."""

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to remove."""


class StorageTracker(MemTracker):
    """Follows every storage that an operation creates until the last tensor on it is gone.

    Only that part of MemTracker is used: its module statistics need hooks on every module of the process, which would
    affect runs in other threads. `changed` is called with (bytes above 0 for an allocation and below for a free, the
    storage's number). `track_external(module)` counts a module's weights as allocated.
    """

    def __init__(self, changed: Callable[[int, int], None]) -> None:
        super().__init__()
        self._mod_tracker = cast(Any, _NoModules())
        self._changed = changed
        self._blocks = 0

    def block_of(self, tensor: Tensor) -> int:
        """The number of the storage that `tensor` lies in."""
        return int(self._WINFO[tensor.untyped_storage()][0].block)

    def _update_snap(
        self, u_type: Any, winfo: Any, old_mem_consumed: int | None = None, old_reftype: Any = None
    ) -> None:
        if u_type.name == "REF":
            return
        if u_type.name == "ADD":
            self._blocks += 1
            winfo.block = self._blocks
        change = {
            "ADD": lambda: winfo.mem_consumed,
            "DEL": lambda: -winfo.mem_consumed,
            "SIZE": lambda: winfo.mem_consumed - (old_mem_consumed or 0),
        }[u_type.name]()
        self._changed(change, winfo.block)

    def _update_peak_stats(self, peak_state: Any) -> None:
        """Peaks are computed from the events."""


def storage_key(tensor: Tensor) -> int | None:
    """The identity of the storage, which views share; None for tensors without one (sparse, and some subclasses)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def is_alone_in_its_storage(tensor: Tensor) -> bool:
    """Whether `tensor` fills its storage, and no other tensor lies in it. No public interface counts a storage's users.

    One user is the tensor, a second one the Python object of the storage.
    """
    storage = tensor.untyped_storage()
    return storage.nbytes() == tensor.nbytes and int(torch._C._storage_Use_Count(storage._cdata)) <= 2


def writes_into_an_operand(operation: Any) -> bool:
    """Whether the dispatched `operation` changes one of its operands in place."""
    return bool(operation._schema.is_mutable)
