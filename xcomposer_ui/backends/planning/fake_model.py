"""A model's twin without storage: built from its configuration alone, with three of each kind of repeated layer.

All layers of a kind are alike, so the memory of three tells that of any number: what the middle one does is repeated
(`tests/backends/test_planning.py` holds this against twins with all their layers).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xcomposer_ui.backends.planning.allocation_recorder import Recorder
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM

KEPT = 3
TOWER, LANGUAGE = "tower", "language"


@dataclass(frozen=True)
class FakeModel:
    """model: fake, float32 or 16-bit. layers: kind -> how many the real model has. parameters: of the real model.

    weights_bytes: of the real model, in the twin's dtype.
    """

    model: Any
    config: InternLMXComposer2Config
    layers: dict[str, int]
    parameters: int
    weights_bytes: int

    def repeats(self) -> dict[str, int]:
        """Kind of layer -> how many of the real model the twin's second one stands for, itself included."""
        return {kind: self.layers[kind] - len(stack) + 1 for kind, stack in stacks(self.model).items()}

    def mark_layers(self, recorder: Recorder) -> list[Any]:
        """Have `recorder` know in which layer it is; returns the hooks' handles."""
        handles = []
        for kind, stack in stacks(self.model).items():
            for n, layer in enumerate(stack):
                handles.append(layer.register_forward_pre_hook(_Enter(recorder, (kind, n))))
            handles.append(stack[-1].register_forward_hook(_Leave(recorder)))
        return handles


def fake_model(config: InternLMXComposer2Config, dtype: torch.dtype, kept: int = KEPT) -> FakeModel:
    """The twin of the model that `config` describes. Call it under a FakeTensorMode.

    kept: layers of each kind, at least 3; a model with fewer has all of its own.
    """
    small = copy.deepcopy(config)
    layers = {TOWER: config.vision_config.num_hidden_layers, LANGUAGE: config.num_hidden_layers}
    small.vision_config.num_hidden_layers = min(kept, layers[TOWER])
    small.num_hidden_layers = min(kept, layers[LANGUAGE])
    model = _cast(InternLMXComposer2ForCausalLM(small), dtype).eval()
    parameters = sum(p.numel() for p in model.parameters())
    for kind, stack in stacks(model).items():
        parameters += (layers[kind] - len(stack)) * sum(p.numel() for p in stack[0].parameters())
    return FakeModel(model, small, layers, parameters, parameters * dtype.itemsize)


def stacks(model: Any) -> dict[str, nn.ModuleList]:
    """The model's repeated layers, by kind."""
    return {TOWER: model.vit.vision_tower.vision_model.encoder.layers, LANGUAGE: model.model.layers}


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """`model` with new parameters in `dtype`.

    Not `from_config(dtype=…)`, which changes the process's default dtype while it builds: a run in another thread
    would meet it. Not `to(dtype)`, which refuses fake tensors that are referred to weakly.
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
