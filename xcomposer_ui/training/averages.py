"""A running average of the weights: it answers better than the last step's weights, and costs one pass over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential average of a module's parameters, `decay` in 0..1, quicker at the start."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's weights in."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        torch._foreach_lerp_(self.values, [p.detach() for p in module.parameters()], 1 - decay)

    @contextmanager
    def swapped_into(self, module: nn.Module) -> Iterator[None]:
        """The module holds the average inside the block, and its own weights again after it."""
        own = [p.detach().clone() for p in module.parameters()]
        self._put(module, self.values)
        try:
            yield
        finally:
            self._put(module, own)

    @torch.no_grad()
    def _put(self, module: nn.Module, values: list[Tensor]) -> None:
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` takes."""
        return {"values": self.values, "updates": self.updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from a saved average."""
        self.values, self.updates = state["values"], state["updates"]  # type: ignore[assignment]
