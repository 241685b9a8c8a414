"""Plain training loops that the lab's fine-tuning is compared with, and the requests that are small enough to test."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch.nn import functional as F

from xcomposer_ui.backends.checkpoint import load
from xcomposer_ui.backends.finetuning.data import FinetuningData
from xcomposer_ui.backends.finetuning.execution import finetuning_steps
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.training.batching import answer_logits, picture_cache

SMALL: dict[str, Any] = {"steps": 3, "batch": 1, "with_accuracy": False}


def embedded(dtype: torch.dtype) -> Any:
    """The embedded model in training mode, its tower frozen."""
    model = load(EMBEDDED_PATH, "float32", "cpu", lambda fraction: None, "embedded")[0].float()
    with torch.no_grad():  # its weights may be mapped from the file
        for parameter in model.parameters():
            parameter.data = parameter.clone().to(dtype)
    model.vit.requires_grad_(False)
    return model.train()


@cache
def data_of(request: FinetuningRequest) -> FinetuningData:
    return FinetuningData(request, 126, 9)


def loss_of(model: Any, request: FinetuningRequest, step: int, pixels: torch.dtype) -> torch.Tensor:
    """The loss of a step's batch."""
    data = data_of(request)
    examples = data.batch(step)
    embeds = model.vision_proj(model.vit(examples.pixels.to(pixels)))
    cache = picture_cache(model, data.encoder.picture_prefix(), embeds)
    found = answer_logits(model, examples.conversations, cache)
    return F.cross_entropy(found.logits, found.targets)


class PlainLoop:
    """One recipe written out: the losses, the gradients of the first step, and GradScaler's own state at each step."""

    def __init__(
        self,
        request: FinetuningRequest,
        weights: torch.dtype,
        autocast: torch.dtype | None = None,
        *,
        scaled: bool = False,
        master: bool = False,
    ) -> None:
        self.losses: list[float] = []
        self.scales: list[float] = []
        self.first_gradients: dict[str, torch.Tensor] = {}
        model = self.model = embedded(weights)
        own = [p for p in model.parameters() if p.requires_grad]
        updated = [torch.nn.Parameter(p.detach().float()) for p in own] if master else own
        if request.optimizer == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(updated, lr=request.learning_rate, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(updated, lr=request.learning_rate, eps=request.epsilon, weight_decay=0.0)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled)
        pixels = weights if autocast is None else torch.float32
        for step in range(request.steps):
            model.zero_grad()
            with torch.autocast("cpu", autocast) if autocast else nullcontext():
                loss = loss_of(model, request, step, pixels)
            scaler.scale(loss / request.loss_divisor).backward()
            if not step:
                found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
                self.first_gradients = {name: gradient.clone() for name, gradient in found.items()}
            self.scales.append(scaler.get_scale())
            if master:
                for p, wide in zip(own, updated, strict=True):
                    wide.grad = None if p.grad is None else p.grad.float()
            scaler.step(optimizer)
            scaler.update()
            if master:
                for p, wide in zip(own, updated, strict=True):
                    p.data.copy_(wide.data)
            self.losses.append(float(loss.detach()))
        self.scales.append(scaler.get_scale())


def run(*recipes: str, **settings: Any) -> Finetuning:
    """The lab's fine-tuning under `recipes`, small by default."""
    return finetuned(FinetuningRequest(recipes=recipes, **{**SMALL, **settings}))


def finetuned(request: FinetuningRequest) -> Finetuning:
    """The end of a whole fine-tuning on the CPU."""
    *_, last = finetuning_steps(request, "cpu")
    return last
