"""Learning-rate schedule and averaging of the weights, shared by both training stages."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Schedule:
    """Progress of a training stage and its learning rate, by steps or by a time budget, whichever ends first.

    Without a binding budget everything follows from the step alone, so a run is reproducible.

    Args:
        steps: number of steps of the recipe.
        budget_sec: time limit in seconds; None for no limit.
        spent_sec: seconds spent by earlier processes of a resumed run.
    """

    steps: int
    budget_sec: float | None = None
    spent_sec: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_sec(self) -> float:
        """Seconds spent so far, including earlier processes."""
        return self.spent_sec + time.monotonic() - self.started

    def progress(self, step: int) -> float:
        """Fraction of the training that is done, 0..1."""
        by_step = step / self.steps
        return min(1.0, max(by_step, self.elapsed_sec / self.budget_sec)) if self.budget_sec else min(1.0, by_step)

    def rate(self, step: int, warmup: int = 150) -> float:
        """Learning-rate factor, 0..1: linear warm-up over `warmup` steps, then cosine decay to 1/50."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress(step)))
        return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * cosine)


class WeightAverage:
    """Exponential moving average of a module's parameters, which answers better than the weights of the last step.

    Args:
        module: the module whose parameters are averaged.
        decay: weight of the old average, 0..1; smaller during the first updates.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Add the module's current parameters to the average."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        torch._foreach_lerp_(self.values, [p.detach() for p in module.parameters()], 1 - decay)

    @contextmanager
    def swapped_into(self, module: nn.Module) -> Iterator[None]:
        """Give the module the averaged parameters inside the block, and its own back afterwards."""
        own = [p.detach().clone() for p in module.parameters()]
        _copy_into(module, self.values)
        try:
            yield
        finally:
            _copy_into(module, own)

    def state_dict(self) -> dict[str, object]:
        """State for `load_state_dict`."""
        return {"values": self.values, "updates": self.updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore a saved average."""
        self.values, self.updates = state["values"], state["updates"]  # type: ignore[assignment]


@torch.no_grad()
def _copy_into(module: nn.Module, values: list[Tensor]) -> None:
    for parameter, value in zip(module.parameters(), values, strict=True):
        parameter.copy_(value)
