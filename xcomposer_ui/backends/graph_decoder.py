"""Decoding steps recorded as CUDA graphs, and kept for later runs: `decoding.Decoding` makes and proves them.

Launched kernel by kernel, a step of decoding waits for the host and not for the card.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import Arithmetic
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.models.cache import PreallocatedCache, StaticCache

EAGER, GRAPH = "eager", "graph"

MOST_RECORDED = 4
"""Steps that are kept recorded: a comparison's strategies, at one size of the cache."""

StepKey: TypeAlias = tuple[Arithmetic, int]
"""(arithmetic, batch): what a recorded step depends on, beside the size of its cache."""

Step: TypeAlias = Callable[[Tensor], Tensor]
"""Embeddings (B, 1, width) to final hidden states (B, 1, width), at the position that the static cache holds."""

StepRunner: TypeAlias = Callable[[Step, Tensor], Step]
"""Makes the step that is run out of the plain one and an example of its input."""


def plain(step: Step, embeds: Tensor) -> Step:
    """The step itself, launched kernel by kernel: what a CPU can show of a recorded one."""
    return step


def recorded(step: Step, embeds: Tensor) -> Step:
    """`step` as a CUDA graph, whose result the next step overwrites. Raises RuntimeError where it cannot be one."""
    given = embeds.clone()
    stream = _stream(embeds.device)
    stream.wait_stream(torch.cuda.current_stream(embeds.device))
    with torch.cuda.stream(stream):
        step(given)  # kernels and workspaces that are made at their first use must not be made in the recording
    torch.cuda.current_stream(embeds.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Of this thread alone: another one may ask how much memory is free meanwhile.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = step(given)

    def replay(embeds: Tensor) -> Tensor:
        given.copy_(embeds)
        graph.replay()
        return result

    return replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream of all recordings: cuBLAS takes a workspace for each."""
    return torch.cuda.Stream(device)


@dataclass(frozen=True)
class RecordedStep:
    """A step that proved itself, and the static cache that it reads and writes."""

    run: Step
    cache: StaticCache


class GraphDecoder:
    """The recorded steps of a model's runs, used from the thread that computes.

    record: makes a step; None where every run is eager, for `reason`. checks_memory: whether a static cache has to fit
    into what is free before it is made. refused: why steps are not recorded again, by what they depend on.
    """

    def __init__(self, record: StepRunner | None, reason: Sentence, *, checks_memory: bool = True) -> None:
        self.record, self.reason, self.checks_memory = record, reason, checks_memory
        self.refused: dict[StepKey, Sentence] = {}
        self._steps: OrderedDict[tuple[StepKey, int], RecordedStep] = OrderedDict()  # least recently used first

    @property
    def nbytes(self) -> int:
        """Bytes of all static caches; from any thread."""
        return sum(
            cache.nbytes for cache in {id(step.cache): step.cache for step in tuple(self._steps.values())}.values()
        )

    def find(self, key: StepKey, capacity: int) -> RecordedStep | None:
        found = self._steps.get((key, capacity))
        if found is not None:
            self._steps.move_to_end((key, capacity))
        return found

    def keep(self, key: StepKey, step: RecordedStep) -> None:
        """Add a step; of more than MOST_RECORDED the least recently used is dropped."""
        self._steps[key, step.cache.capacity] = step
        while len(self._steps) > MOST_RECORDED:
            self._steps.popitem(last=False)

    def static_cache(self, source: PreallocatedCache, capacity: int) -> StaticCache:
        """A static cache for layers like those of `source`: another step's, where one is alike, else a new one."""
        for step in self._steps.values():
            if step.cache.matches(source, capacity):
                return step.cache
        return StaticCache(source, capacity)

    def clear(self) -> None:
        """Drop all steps. Needed before the weights are: a graph knows their addresses alone."""
        self._steps.clear()


def decoder_for(choice: str, device: str) -> GraphDecoder:
    """The decoder that `choice`, "auto", "graph" or "eager", means on `device`."""
    if choice == EAGER:
        return GraphDecoder(None, Message("reason.chosen"))
    if device != "cuda":
        return GraphDecoder(None, Message("reason.decoder.device"))
    return GraphDecoder(recorded, "", checks_memory=choice == "auto")
