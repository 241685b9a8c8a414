"""The Python script that repeats a fine-tuning with plain PyTorch calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.finetuning.recipes import recipe_named
from xcomposer_ui.finetuning.request import FinetuningRequest

TEMPLATE = '''"""Repeats a fine-tuning of the XComposer precision lab with plain PyTorch.

Needs torch, transformers and the lab's package `xcomposer_ui`, which brings the architecture, the embedded model and
the drawing of the pictures. Run it with python.
"""

from contextlib import nullcontext

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

import xcomposer_ui.models  # noqa: F401  (makes the Auto classes know InternLM-XComposer)
from xcomposer_ui.backends.finetuning.data import FinetuningData
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.training.batching import answer_logits, picture_cache

DEVICE = {device}
REQUEST = FinetuningRequest(**{settings})

# (name, weights, pictures, autocast or None, whether GradScaler scales the loss, whether there are master weights)
RECIPES = {recipes}


def new_model(dtype):
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED_PATH, dtype=torch.float32).to(DEVICE, dtype).train()
    model.vit.requires_grad_(False)  # the vision tower is not trained
    return model


def new_optimizer(weights):
    if REQUEST.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=REQUEST.learning_rate, momentum=0.9)
    return torch.optim.AdamW(weights, lr=REQUEST.learning_rate, eps=REQUEST.epsilon, weight_decay=0.0)


def answers(model, data, examples, pixels_dtype, autocast):
    with torch.autocast(DEVICE, autocast) if autocast else nullcontext():
        with torch.no_grad():
            features = model.vit(examples.pixels.to(DEVICE, pixels_dtype))
        cache = picture_cache(model, data.encoder.picture_prefix(), model.vision_proj(features))
        return answer_logits(model, examples.conversations, cache)


def train(data, weights_dtype, pixels_dtype, autocast, scaled, master_weights):
    model = new_model(weights_dtype)
    weights = [p for p in model.parameters() if p.requires_grad]
    updated = [torch.nn.Parameter(p.detach().float()) for p in weights] if master_weights else weights
    optimizer, scaler = new_optimizer(updated), torch.amp.GradScaler(DEVICE, enabled=scaled)
    losses = []
    for step in range(REQUEST.steps):
        model.zero_grad()
        found = answers(model, data, data.batch(step), pixels_dtype, autocast)
        loss = F.cross_entropy(found.logits, found.targets)
        scaler.scale(loss / REQUEST.loss_divisor).backward()
        if master_weights:
            for own, master in zip(weights, updated):
                master.grad = None if own.grad is None else own.grad.float()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if master_weights:
            with torch.no_grad():
                for own, master in zip(weights, updated):
                    own.copy_(master)
        losses.append(loss.item())
    with torch.no_grad():
        matches = answers(model, data, data.held_out, pixels_dtype, autocast).exact_matches()
    return losses, sum(matches) / len(matches)


def main():
    config = new_model(torch.float32).config
    data = FinetuningData(REQUEST, config.img_size, config.img_size // config.vision_config.patch_size)
    for name, weights, pixels, autocast, scaled, master_weights in RECIPES:
        torch.manual_seed(REQUEST.seed)
        try:
            losses, accuracy = train(data, weights, pixels, autocast, scaled, master_weights)
        except (RuntimeError, TypeError, ValueError) as error:
            print(f"{{name}}: {{type(error).__name__}}: {{error}}")
            continue
        print(f"{{name}}: losses {{', '.join(f'{{loss:.6g}}' for loss in losses)}}; right afterwards {{accuracy:.0%}}")


if __name__ == "__main__":
    main()
'''


def script(document: Mapping[str, Any]) -> str:
    """A runnable script for `document`. Every value in it is a Python literal or a dtype of torch."""
    settings = document["settings"]
    kept = {
        name: settings[name] for name in FinetuningRequest.__dataclass_fields__ if name not in ("recipes", "device")
    }
    recipes = "".join(f"    {_recipe(entry['recipe'])},\n" for entry in document["recipes"])
    device = settings["device"] if settings["device"] in DEVICES[1:] else "cpu"
    return TEMPLATE.format(device=repr(device), settings=repr(kept), recipes=f"[\n{recipes}]")


def _recipe(name: str) -> str:
    recipe = recipe_named(name)
    named = ", ".join("None" if dtype is None else f"torch.{dtype}" for dtype in recipe.dtypes)
    return f"({recipe.name!r}, {named}, {recipe.scaled}, {recipe.master_weights})"
