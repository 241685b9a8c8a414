"""The allocations and frees of a dry run, event by event."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from xcomposer_ui.backends.planning.kernels import Kernel, clash, kernel
from xcomposer_ui.backends.torch_private import StorageTracker


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


class Recorder(StorageTracker):
    """`with recorder: …` under a FakeTensorMode; `events` grows as operations run.

    Raises DtypeClash at the operation that would fail on real tensors.
    """

    def __init__(self) -> None:
        super().__init__(self._record)
        self.events: list[Event] = []
        self.phase = "weights"
        self.layer: tuple[str, int] | None = None
        self.image_positions = 0
        """How many image tokens the prompt has: their indices are data, which fake tensors do not have."""

    def _record(self, change: int, block: int) -> None:
        self.events.append(Event(change, block, self.phase, self.layer))

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
