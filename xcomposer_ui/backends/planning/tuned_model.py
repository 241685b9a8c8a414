"""Makes a model ready for a training method: frozen parts, low-rank adapters, and layers that are checkpointed.

Real models and fake ones alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xcomposer_ui.core.families.facts import LoraFacts
from xcomposer_ui.planning.training_plan import TrainingMethod


class LowRankAdapter(nn.Module):
    """The addition B A x to a linear layer's output, for x of any shape (…, in); B begins as zero.

    As PEFT computes it where alpha is the rank: every token gets it, and dropout is applied to x.
    """

    def __init__(self, layer: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.A = nn.Parameter(layer.weight.new_empty((rank, layer.in_features)))
        self.B = nn.Parameter(layer.weight.new_zeros((layer.out_features, rank)))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return F.linear(F.linear(x, self.A), self.B)
        # Not F.dropout: on a CPU, it keeps a mask in the dtype of x, which on a card takes one byte an element.
        dropped = torch.rand(x.shape, device=x.device) < self.dropout
        return F.linear(F.linear(x.masked_fill(dropped, 0), self.A) / (1 - self.dropout), self.B)


def tune(model: Any, method: TrainingMethod, lora: LoraFacts | None, *, trains_tower: bool) -> None:
    """Prepare `model` for `method`, in place.

    lora: the family's, which a method with adapters needs. trains_tower: whether full fine-tuning trains the tower.
    """
    if method.lora_rank is not None:
        assert lora is not None, "the family's adapters are unknown"
        model.requires_grad_(False)
        for name, module in list(model.named_modules()):
            if name.endswith(lora.layers):
                _adapt(module, LowRankAdapter(module, method.lora_rank, lora.dropout))
    elif not trains_tower:
        model.tower.requires_grad_(False)
    if method.checkpointing:
        _checkpoint_layers(model, preserve_rng_state=method.lora_rank is not None)
    model.train()


def _adapt(layer: nn.Linear, adapter: LowRankAdapter) -> None:
    layer.add_module("adapter", adapter)
    layer.register_forward_hook(lambda module, inputs, output: output + module.adapter(inputs[0]))


def _checkpoint_layers(model: Any, *, preserve_rng_state: bool) -> None:
    """Let each repeated layer keep its inputs only. preserve_rng_state: whether recomputing has to drop the same."""
    for stack in model.layer_stacks().values():
        for layer in stack:
            layer.forward = partial(
                checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=preserve_rng_state
            )
