"""The events of a dry run, those of the whole model made from them, and the peak memory of each phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from xcomposer_ui.backends.planning.allocation_recorder import WEIGHTS, Event, Layer
from xcomposer_ui.backends.planning.kernels import scratch_bytes

REFILL = "refill"
"""The phase in which the cache is extended for the decoding steps that the dry run skips; no phase of a real run."""


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
