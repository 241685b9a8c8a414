"""A fake model, without storage: built from its configuration alone, with three of each kind of repeated layer.

All layers of a kind are alike, so three are enough: the memory of the middle one is counted for all that were left out
(`tests/backends/test_planning.py` compares with fake models that have all their layers).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from xcomposer_ui.backends.planning.recording import Layer, Recorder
from xcomposer_ui.models import family_of
from xcomposer_ui.models.base import FamilyConfig


@dataclass(frozen=True)
class FakeModel:
    """model: fake, float32 or 16-bit. layers: kind -> how many the real model has."""

    model: Any
    config: FamilyConfig
    layers: dict[str, int]

    @property
    def parameters(self) -> int:
        """The number of the real model's parameters."""
        return sum(count * parameter.numel() for parameter, count in self.parameter_counts())

    @property
    def weights_bytes(self) -> int:
        """Bytes of the real model's parameters, in the fake model's dtypes."""
        return sum(count * parameter.nbytes for parameter, count in self.parameter_counts())

    def parameter_counts(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Each parameter, and how many of the real model's parameters it stands for."""
        middle = {
            parameter: self.repeats()[kind]
            for kind, stack in self.model.layer_stacks().items()
            for layer in stack[1:2]
            for parameter in layer.parameters()
        }
        for parameter in self.model.parameters():
            yield parameter, middle.get(parameter, 1)

    def repeats(self) -> dict[str, int]:
        """Kind of layer -> how many of the real model's layers the fake model's second one represents."""
        return {kind: self.layers[kind] - len(stack) + 1 for kind, stack in self.model.layer_stacks().items()}

    @contextmanager
    def marked_layers(self, recorder: Recorder) -> Iterator[None]:
        """A context in which `recorder.layer` is set while a layer runs, forward or backward."""
        with ExitStack() as hooks:
            for kind, stack in self.model.layer_stacks().items():
                for n, layer in enumerate(stack):
                    for hook in _mark(layer, recorder, (kind, n), None if n == len(stack) - 1 else (kind, n)):
                        hooks.enter_context(hook)
                # The backward pass leaves the first layer where it has the gradient of that layer's input.
                left = stack[0].register_forward_pre_hook(lambda _, inputs: _at_gradient(inputs[0], recorder, None))
                hooks.enter_context(left)
            yield


def _mark(layer: nn.Module, recorder: Recorder, mark: Layer, after: Layer) -> list[RemovableHandle]:
    """Hooks that set `recorder.layer` to `mark` where `layer` begins, in either direction, then to `after`."""

    def begin(*_: Any) -> None:
        recorder.layer = mark

    def end(module: nn.Module, inputs: Any, output: Tensor) -> None:
        recorder.layer = after
        _at_gradient(output, recorder, mark)

    return [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]


def _at_gradient(tensor: Tensor, recorder: Recorder, mark: Layer) -> None:
    """Set `recorder.layer` to `mark` as soon as the backward pass has the gradient of `tensor`, if it will have one."""

    def begin(gradient: Tensor) -> None:
        recorder.layer = mark

    if tensor.requires_grad:
        tensor.register_hook(begin)


def fake_model(config: FamilyConfig, dtype: torch.dtype, kept: int = 3) -> FakeModel:
    """The fake model for `config`. Call it under a FakeTensorMode.

    kept: layers of each kind, at least 3; a model that has fewer keeps all.
    """
    family, small, layers = family_of(config), config.with_layers(kept), config.layer_counts()
    assert family is not None, f"{type(config).__name__} is of no family that the lab has"
    return FakeModel(_cast(family.model_class(small)(small), dtype).eval(), small, layers)


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """`model` with new parameters in `dtype`.

    Not `from_config(dtype=…)`, which changes the process's default dtype while it builds, also for a run in another
    thread. Not `to(dtype)`, which refuses fake tensors that have weak references.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty_like(parameter, dtype=dtype)))
    return model
