"""The allocations and frees of a dry run, the whole model's made from them, and the peak memory of each phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xcomposer_ui.backends.planning.kernels import Kernel, clash, kernel, scratch_bytes
from xcomposer_ui.backends.torch_private import StorageTracker, is_alone_in_its_storage

WEIGHTS = "weights"
"""The phase before a run: the weights' own allocations."""

REFILL = "refill"
"""The phase in which the cache is extended for the decoding steps that the dry run skips; no phase of a real run."""

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


@dataclass(frozen=True)
class Recording:
    """The events of a dry run.

    events: in order, with the layers of the fake model only. repeats: kind of layer -> how often the events of the
    second one occur in the whole model. weights_bytes: of the whole model. kept_blocks: the blocks that outlive the
    layer that allocates them by design: of the KV cache, or of the gradients.
    """

    events: tuple[Event, ...]
    repeats: dict[str, int]
    weights_bytes: int
    kept_blocks: frozenset[int]


def repeated(run: Recording) -> Iterator[Event]:
    """The whole model's events: those of the fake model's middle layer, repeated for the layers that it represents."""
    allocated_in: dict[int, Layer] = {}
    for layer, group in groupby(run.events, key=lambda event: event.layer):
        events = tuple(group)
        allocated_in |= {event.block: layer for event in events if event.bytes > 0}
        if layer is not None and layer[1] == 1:
            for _ in range(run.repeats[layer[0]]):
                yield from events
        elif layer is not None:
            yield from events
        else:
            yield from _freed_for_all(events, allocated_in, run.repeats)


def _freed_for_all(
    events: tuple[Event, ...], allocated_in: Mapping[int, Layer], repeats: Mapping[str, int]
) -> Iterator[Event]:
    """`events` outside of all layers; what is freed there of every layer is freed of the repeated ones too.

    That is so for autocast's copies of weights, at its end. What is freed of the middle layer but not of the first one
    is the middle layer's output alone, which the next layer has read: the others' are freed in the layers.
    """
    first = Counter(
        (layer[0], event.bytes)
        for event in events
        if event.bytes < 0 and (layer := allocated_in.get(event.block)) is not None and layer[1] == 0
    )
    for event in events:
        layer = allocated_in.get(event.block) if event.bytes < 0 else None
        times = 1
        if layer is not None and layer[1] == 1 and first[layer[0], event.bytes]:
            first[layer[0], event.bytes] -= 1
            times = repeats[layer[0]]
        yield from (event,) * times


@dataclass(frozen=True)
class Peak:
    """The most bytes live at once in a phase, without the weights, and the share of the kept blocks in them."""

    live_bytes: int
    kept_bytes: int


def peaks(run: Recording, *, scratch: bool, size: Callable[[int], int] = int) -> dict[str, Peak]:
    """Phase -> its peak, for the whole model. scratch: whether the scratch memory of CPU kernels is counted.

    size: requested bytes to counted bytes.
    """
    live = kept = 0
    highest: dict[str, Peak] = {}
    for event in repeated(run):
        change = size(event.bytes) if event.bytes > 0 else -size(-event.bytes)
        live += change
        if event.block in run.kept_blocks:
            kept += change
        inside = scratch_bytes(event.kernel) if scratch and event.kernel else 0
        before = highest.get(event.phase)
        if event.phase not in (WEIGHTS, REFILL) and (before is None or live + inside > before.live_bytes):
            highest[event.phase] = Peak(live + inside, kept)
    return highest
