"""The allocations and frees of a dry run, event by event."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from xcomposer_ui.backends.planning.kernels import Kernel, clash, kernel
from xcomposer_ui.backends.torch_private import StorageTracker, is_alone_in_its_storage

WEIGHTS = "weights"
"""The phase before a run: the weights' own allocations."""


Layer = tuple[str, int] | None
"""(kind, index) of one of the repeated layers; None outside of them."""


class Event(NamedTuple):
    """One allocation (bytes above 0) or free (below 0).

    block: the same number for an allocation and its free. phase, layer: where it occurred. kernel: an operation that,
    on the CPU, needs scratch memory in addition to the bytes.
    """

    bytes: int
    block: int
    phase: str
    layer: Layer
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
        self.phase = WEIGHTS
        self.layer: Layer = None
        self.in_backward = False
        """Whether autograd's backward pass runs: it then works in place where it would on real tensors."""
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
        if self.in_backward and not torch.is_grad_enabled():  # it is enabled where a checkpoint recomputes a layer
            func = in_place(func, args) or func
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if taken := kernel(func, args, kwargs or {}):
            self.events.append(Event(0, 0, self.phase, self.layer, taken))
        return result


def in_place(func: Any, args: Any) -> Any | None:
    """The operation by which autograd's backward pass replaces `func` on real tensors, to save an allocation; or None.

    On tensors of other kinds, fake ones among them, it never works in place. On real ones, a sum of two gradients is
    written into the first if nothing else uses it (torch/csrc/autograd/input_buffer.cpp), and the gradient of an
    indexed tensor into the zeros made for it (torch/csrc/autograd/FunctionsManual.cpp).
    """
    if func is torch.ops.aten.index_put.default:
        return torch.ops.aten.index_put_.default
    if func is not torch.ops.aten.add.Tensor or not all(isinstance(operand, Tensor) for operand in args[:2]):
        return None
    gradient, other = args[:2]
    alike = gradient.shape == other.shape and gradient.dtype == other.dtype
    return torch.ops.aten.add_.Tensor if alike and is_alone_in_its_storage(gradient) else None
