"""A fake model, without storage: built from its configuration alone, with three of each kind of repeated layer.

All layers of a kind are alike, so three are enough: the memory of the middle one is counted for all that were left out
(`tests/backends/test_planning.py` compares with fake models that have all their layers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xcomposer_ui.backends.planning.allocation_recorder import Recorder
from xcomposer_ui.models import family_of
from xcomposer_ui.models.base import FamilyConfig


@dataclass(frozen=True)
class FakeModel:
    """model: fake, float32 or 16-bit. layers: kind -> how many the real model has. parameters: of the real model.

    weights_bytes: of the real model, in the fake model's dtype.
    """

    model: Any
    config: FamilyConfig
    layers: dict[str, int]
    parameters: int
    weights_bytes: int

    def repeats(self) -> dict[str, int]:
        """Kind of layer -> how many of the real model's layers the fake model's second one represents."""
        return {kind: self.layers[kind] - len(stack) + 1 for kind, stack in self.model.layer_stacks().items()}

    def mark_layers(self, recorder: Recorder) -> list[Any]:
        """Set `recorder.layer` while a layer runs; returns the hooks' handles."""

        def set_layer(layer: tuple[str, int] | None) -> Callable[..., None]:
            def hook(*_: Any) -> None:
                recorder.layer = layer

            return hook

        handles = []
        for kind, stack in self.model.layer_stacks().items():
            handles += [layer.register_forward_pre_hook(set_layer((kind, n))) for n, layer in enumerate(stack)]
            handles.append(stack[-1].register_forward_hook(set_layer(None)))
        return handles


def fake_model(config: FamilyConfig, dtype: torch.dtype, kept: int = 3) -> FakeModel:
    """The fake model for `config`. Call it under a FakeTensorMode.

    kept: layers of each kind, at least 3; a model that has fewer keeps all.
    """
    family, small, layers = family_of(config), config.with_layers(kept), config.layer_counts()
    assert family is not None, f"{type(config).__name__} is of no family that the lab has"
    model = _cast(family.model_class(small)(small), dtype).eval()
    parameters = sum(p.numel() for p in model.parameters())
    for kind, stack in model.layer_stacks().items():
        parameters += (layers[kind] - len(stack)) * sum(p.numel() for p in stack[0].parameters())
    return FakeModel(model, small, layers, parameters, parameters * dtype.itemsize)


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """`model` with new parameters in `dtype`.

    Not `from_config(dtype=…)`, which changes the process's default dtype while it builds, also for a run in another
    thread. Not `to(dtype)`, which refuses fake tensors that have weak references.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty_like(parameter, dtype=dtype)))
    return model
