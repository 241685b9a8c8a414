"""What a rehearsal allocates and gives back, event by event: the one place that knows PyTorch's private MemTracker.

The tracker follows every storage that an operation brings into being, and is told when the last tensor on it is gone.
Only that part of it is used: its module statistics want hooks on every module of the process, which a run in another
thread would meet too. `tests/backends/test_planning.py` notices when a PyTorch release changes what is built on.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker

from xcomposer_ui.backends.planning.kernels import Kernel, clash, kernel


class Event(NamedTuple):
    """One allocation (bytes above 0) or its return (below 0).

    block: the same number for an allocation and its return. phase, layer: where it happened; layer is (kind, index)
    while one of the repeated layers computes, else None. kernel: of an operation that on the CPU takes scratch memory
    at this moment, which is not among the bytes.
    """

    bytes: int
    block: int
    phase: str
    layer: tuple[str, int] | None
    kernel: Kernel | None = None


class DtypeClash(Exception):
    """The operation would raise on real tensors: its operands' dtypes differ. Fake tensors let most of them pass."""


class _NoModules:
    """Stands where MemTracker keeps its module tracker: no hooks, no module statistics, never in a backward."""

    is_bw = False
    parents = frozenset({"Global"})

    def register_user_hooks(self, *hooks: Any) -> None:
        """Registers none."""

    def clear_user_hooks(self) -> None:
        """There are none."""

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to take down."""


class Recorder(MemTracker):
    """`with recorder: …` under a FakeTensorMode; `events` grows as operations run.

    Raises DtypeClash at the operation that would fail on real tensors.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mod_tracker = cast(Any, _NoModules())
        self.events: list[Event] = []
        self.phase = "weights"
        self.layer: tuple[str, int] | None = None
        self.image_positions = 0
        """How many image tokens the prompt has: their indices are data, which fake tensors do not hold."""
        self._blocks = 0

    def hold(self, module: nn.Module) -> None:
        """Count `module`'s parameters and buffers as held from the start."""
        self.track_external(module)

    def block_of(self, tensor: Tensor) -> int:
        """The number of the block that `tensor` lies in."""
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
        self.events.append(Event(change, winfo.block, self.phase, self.layer))

    def _update_peak_stats(self, peak_state: Any) -> None:
        """Peaks are worked out from the events."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.nonzero.default:
            size = [self.image_positions, args[0].dim()]
            return super().__torch_dispatch__(
                torch.ops.aten.empty.memory_format, types, (size,), {"dtype": torch.int64}
            )
        if named := clash(func, args):
            raise DtypeClash(named)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if taken := kernel(func, args, kwargs or {}):
            self.events.append(Event(0, 0, self.phase, self.layer, taken))
        return result
