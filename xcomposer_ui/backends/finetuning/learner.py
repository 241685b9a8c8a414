"""One recipe's model, optimizer and scaler, and its training step."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.backends.arithmetic import autocast_to
from xcomposer_ui.backends.finetuning.data import Examples, FinetuningData
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.training.batching import AnswerLogits, answer_logits, picture_cache

MOMENTUM = 0.9
"""Of SGD."""


class Learner:
    """A copy of `model` that is trained under `recipe`; `model` itself, in float32, stays as it is.

    weights: the trained parameters by name. updated: those that the optimizer updates, the float32 master weights where
    there are any. scaler: does nothing where the recipe has none.
    """

    def __init__(self, model: Any, recipe: Recipe, request: FinetuningRequest, data: FinetuningData) -> None:
        self.recipe, self.request, self.data = recipe, request, data
        self.model = copy.deepcopy(model).to(getattr(torch, recipe.weights)).train()
        self.model.vit.requires_grad_(False)
        self.weights: dict[str, nn.Parameter] = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.updated: dict[str, nn.Parameter] = self.weights
        if recipe.master_weights:
            self.updated = {n: nn.Parameter(p.detach().to(torch.float32)) for n, p in self.weights.items()}
        self.optimizer = new_optimizer(list(self.updated.values()), request)
        self.device_type: str = self.model.device.type
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=recipe.scaled)

    def answers(self, examples: Examples) -> AnswerLogits:
        """The forward pass of `examples`, in the recipe's dtypes."""
        with autocast_to(self.recipe.autocast, self.device_type):
            return forward(self.model, examples, self.data, getattr(torch, self.recipe.pixels))

    def backward(self, answers: AnswerLogits) -> Tensor:
        """Fill in the gradients, loss scale and divisor included; returns the loss without them."""
        loss = loss_of(answers)
        self.scaler.scale(loss / self.request.loss_divisor).backward()
        return loss.detach()

    def unscale(self) -> None:
        """Divide the gradients by the loss scale, and pass them on to the master weights.

        Raises ValueError where the gradients are float16: GradScaler does not unscale those.
        """
        if self.recipe.master_weights:
            for name, weight in self.weights.items():
                self.updated[name].grad = None if weight.grad is None else weight.grad.to(torch.float32)
        self.scaler.unscale_(self.optimizer)

    def update(self) -> bool:
        """Let the optimizer update the weights; False where the scaler skipped that."""
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.recipe.master_weights:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(self.updated[name])
        return bool(self.scaler.get_scale() >= before)

    def zero_grad(self) -> None:
        """Drop the gradients, those of the master weights included."""
        self.model.zero_grad()
        self.optimizer.zero_grad()

    def gradient_norm(self) -> Tensor:
        """The norm of all gradients of the reported loss, without divisor and, after `unscale`, without loss scale."""
        gradients = [weight.grad for weight in self.updated.values() if weight.grad is not None]
        return total_norm(gradients) * self.request.loss_divisor

    def accuracy(self) -> float:
        """The share of the held-out questions whose greedy answer is right word for word, 0..1."""
        with torch.no_grad():
            matches = self.answers(self.data.held_out).exact_matches()
        return sum(matches) / len(matches)


def new_optimizer(
    weights: list[nn.Parameter], request: FinetuningRequest, *, foreach: bool | None = None
) -> torch.optim.Optimizer:
    """PyTorch's optimizer of the request for `weights`, without weight decay: a weight without gradient stays.

    foreach: whether all weights are updated at once; None for PyTorch's choice by their device.
    """
    rate = request.learning_rate
    if request.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=MOMENTUM, foreach=foreach)
    return torch.optim.AdamW(weights, lr=rate, eps=request.epsilon, weight_decay=0.0, foreach=foreach)


def forward(model: Any, examples: Examples, data: FinetuningData, pixels_dtype: torch.dtype) -> AnswerLogits:
    """The logits of the answers in `examples`: one prefill per picture, then its questions."""
    pixels = examples.pixels.to(model.device, pixels_dtype)
    with torch.no_grad():  # the vision tower is not trained
        features = model.vit(pixels)
    cache = picture_cache(model, data.encoder.picture_prefix(), model.vision_proj(features))
    return answer_logits(model, examples.conversations, cache)


def loss_of(answers: AnswerLogits) -> Tensor:
    """Mean cross-entropy over the tokens of the answers, computed in float32."""
    return F.cross_entropy(answers.logits, answers.targets)


def total_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The norm of all `tensors` together, added up in float32."""
    norms = [torch.linalg.vector_norm(tensor.detach(), dtype=torch.float32) for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(norms))
