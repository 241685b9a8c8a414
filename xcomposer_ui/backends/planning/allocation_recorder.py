"""The allocations and frees of a dry run, event by event."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from xcomposer_ui.backends.planning.kernels import Kernel, clash, kernel
from xcomposer_ui.backends.torch_private import StorageTracker


class Event(NamedTuple):
    """One allocation (bytes above 0) or free (below 0).

    block: the same number for an allocation and its free. phase, layer: where it occurred; layer is (kind, index)
    inside one of the repeated layers, else None. kernel: an operation that, on the CPU, needs scratch memory in
    addition to the bytes.
    """

    bytes: int
    block: int
    phase: str
    layer: tuple[str, int] | None
    kernel: Kernel | None = None


class DtypeClash(Exception):
    """An operation whose operands' dtypes differ: it would raise on real tensors, and mostly not on fake ones."""


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
        """Number of image tokens in the prompt: fake tensors have no data from which `nonzero` could count them."""

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
