"""A fake model, without storage: built from its configuration alone, with three of each kind of repeated layer.

All layers of a kind are alike, so three show the memory of any number: what the middle one does is repeated
(`tests/backends/test_planning.py` compares with fake models that have all their layers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xcomposer_ui.backends.planning.allocation_recorder import Recorder
from xcomposer_ui.models import family_of
from xcomposer_ui.models.base import FamilyConfig

KEPT = 3


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
        """Kind of layer -> how many of the real model the fake model's second one stands for, itself included."""
        return {kind: self.layers[kind] - len(stack) + 1 for kind, stack in self.model.layer_stacks().items()}

    def mark_layers(self, recorder: Recorder) -> list[Any]:
        """Have `recorder` know in which layer it is; returns the hooks' handles."""
        handles = []
        for kind, stack in self.model.layer_stacks().items():
            for n, layer in enumerate(stack):
                handles.append(layer.register_forward_pre_hook(_Enter(recorder, (kind, n))))
            handles.append(stack[-1].register_forward_hook(_Leave(recorder)))
        return handles


def fake_model(config: FamilyConfig, dtype: torch.dtype, kept: int = KEPT) -> FakeModel:
    """The fake model of the one that `config` describes. Call it under a FakeTensorMode.

    kept: layers of each kind, at least 3; a model with fewer has all of its own.
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


@dataclass
class _Enter:
    recorder: Recorder
    layer: tuple[str, int]

    def __call__(self, *_: Any) -> None:
        self.recorder.layer = self.layer


@dataclass
class _Leave:
    recorder: Recorder

    def __call__(self, *_: Any) -> None:
        self.recorder.layer = None
