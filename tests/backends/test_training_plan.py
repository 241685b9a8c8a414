"""Plans of fine-tuning compared with real training steps of the embedded model's configuration, and their parts."""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.checkpoints import tiny_config
from xcomposer_ui.backends.arithmetic import autocast_to
from xcomposer_ui.backends.finetuning.learner import new_optimizer
from xcomposer_ui.backends.memory import CpuPeak
from xcomposer_ui.backends.planning.fake_model import fake_model
from xcomposer_ui.backends.planning.planner import AvailableMemory
from xcomposer_ui.backends.planning.recording import peaks
from xcomposer_ui.backends.planning.training_dry_run import (
    TrainingBatch,
    optimizer_memory,
    training_dry_run,
    training_loss,
    tune,
)
from xcomposer_ui.backends.planning.training_planner import TrainingPlanner, plan_training
from xcomposer_ui.backends.torch_private import AllocatorEvents, FakeTensorMode
from xcomposer_ui.core.families.xcomposer2 import LORA
from xcomposer_ui.finetuning.recipes import RECIPES, Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM
from xcomposer_ui.planning.training_plan import TrainingMethod, TrainingPlanRequest, training_plan_as_json
from xcomposer_ui.training.recipe import Recipe as EmbeddedRecipe

METHODS = (
    TrainingMethod(),
    TrainingMethod(checkpointing=True),
    TrainingMethod(lora_rank=8),
    TrainingMethod(lora_rank=8, checkpointing=True),
)
UNKNOWN = AvailableMemory(None, None, on_card=False)


def request(**changes: Any) -> TrainingPlanRequest:
    sizes = {"image": (100, 100), "prompt_tokens": 20, "new_tokens": 12, "device": "cpu", "lora_rank": 8}
    return TrainingPlanRequest("embedded", **{**sizes, **changes})


@cache
def planner(asked: TrainingPlanRequest) -> TrainingPlanner:
    """One for each request, because its dry runs serve several recipes."""
    return TrainingPlanner(EmbeddedRecipe().configuration(), asked, "cpu")


class PlainLoop:
    """A training loop as it is usually written; `step_bytes` is the exact peak of its second step."""

    def __init__(self, recipe: Recipe, method: TrainingMethod, asked: TrainingPlanRequest) -> None:
        self.recipe, self.asked = recipe, asked
        self.config = EmbeddedRecipe().configuration()
        torch.manual_seed(0)
        self.model = InternLMXComposer2ForCausalLM(self.config).to(getattr(torch, recipe.weights))
        tune(self.model, method, LORA, trains_tower=asked.trains_tower)
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.updated = self.weights
        if recipe.master_weights:
            self.updated = [nn.Parameter(weight.detach().float()) for weight in self.weights]
        self.optimizer = new_optimizer(self.updated, FinetuningRequest(optimizer=asked.optimizer), foreach=False)
        # From its usual scale, the first steps overflow and are skipped: there would be no state yet.
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1.0, enabled=recipe.scaled)

    def step(self) -> None:
        batch = TrainingBatch.example(self.config, self.asked, getattr(torch, self.recipe.pixels))
        with autocast_to(self.recipe.autocast, "cpu"):
            loss = training_loss(self.model, batch)
        self.scaler.scale(loss).backward()
        del loss
        if self.recipe.master_weights:
            for weight, updated in zip(self.weights, self.updated, strict=True):
                updated.grad = None if weight.grad is None else weight.grad.float()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.recipe.master_weights:
            with torch.no_grad():
                for weight, updated in zip(self.weights, self.updated, strict=True):
                    weight.copy_(updated)
        self.model.zero_grad()
        self.optimizer.zero_grad()

    def step_bytes(self) -> int:
        self.step()
        gc.collect()  # an earlier loop's model would be freed during the measurement
        with CpuPeak(self.model) as peak:
            self.step()
        assert peak.peak_bytes is not None
        return peak.peak_bytes + self.state_bytes()

    def state_bytes(self) -> int:
        kept = [t for state in self.optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
        return sum(tensor.nbytes for tensor in (*kept, *(self.updated if self.recipe.master_weights else ())))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("recipe", RECIPES)
def test_within_one_percent_of_what_a_training_step_takes(recipe: str, method: TrainingMethod) -> None:
    asked = request(batch=2)
    loop = PlainLoop(RECIPES[recipe], method, asked)
    measured = loop.step_bytes()
    planned = planner(asked).planned(RECIPES[recipe], method, UNKNOWN)
    assert abs(planned.total_bytes / measured - 1) < 0.01, (planned.total_bytes, measured)
    assert planned.optimizer_bytes == loop.state_bytes()
    assert planned.weights_bytes == sum(p.nbytes for p in loop.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "changes", "method"),
    [
        ("float32", {"batch": 1}, METHODS[0]),
        ("autocast_bfloat16", {"batch": 7}, METHODS[1]),
        ("bfloat16_master", {"batch": 7}, METHODS[3]),
        ("bfloat16", {"batch": 3, "optimizer": "sgd"}, METHODS[0]),
        ("bfloat16_master", {"batch": 1, "optimizer": "sgd"}, METHODS[1]),
        ("autocast_float16", {"batch": 2, "trains_tower": True}, METHODS[1]),
        ("float32", {"batch": 2, "image": None, "prompt_tokens": 90}, METHODS[2]),
    ],
)
def test_within_one_percent_for_other_batches_optimizers_and_parts(
    recipe: str, changes: dict[str, Any], method: TrainingMethod
) -> None:
    asked = request(**changes)
    measured = PlainLoop(RECIPES[recipe], method, asked).step_bytes()
    planned = planner(asked).planned(RECIPES[recipe], method, UNKNOWN).total_bytes
    assert abs(planned / measured - 1) < 0.01, (planned, measured)


SMALL = TrainingPlanRequest("m", (56, 56), prompt_tokens=8, new_tokens=1)


def dry_run_of(config: InternLMXComposer2Config, method: TrainingMethod, kept: int = 3) -> Any:
    mode = FakeTensorMode()
    with mode:
        fake = fake_model(config, torch.float32, kept)
        tune(fake.model, method, LORA, trains_tower=True)

    def batch() -> TrainingBatch:
        return TrainingBatch.example(config, replace(SMALL, batch=2), torch.float32)

    return training_dry_run(fake, RECIPES["autocast_bfloat16"], mode, batch)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_three_layers_tell_what_seven_do(method: TrainingMethod) -> None:
    config = tiny_config(num_hidden_layers=7)
    short, whole = (dry_run_of(config, method, kept) for kept in (3, 7))
    assert peaks(short, scratch=False) == peaks(whole, scratch=False)
    assert (short.weights_bytes, short.gradients_bytes) == (whole.weights_bytes, whole.gradients_bytes)
    assert short.left_bytes == whole.left_bytes


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_optimizer_needs_what_its_updates_take(optimizer: str, foreach: bool) -> None:
    weights = [nn.Parameter(torch.zeros(size)) for size in (4000, 1000, 1000)]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    chosen = new_optimizer(weights, FinetuningRequest(optimizer=optimizer), foreach=foreach)
    levels = []
    for _ in range(2):
        events = AllocatorEvents()
        events.start()
        chosen.step()
        levels.append(list(accumulate(events.stop(), initial=0)))
    planned = optimizer_memory(optimizer, RECIPES["float32"], [(weights[0], 1), (weights[1], 2)], foreach=foreach)
    assert planned.state_bytes == levels[0][-1]
    assert planned.scratch_bytes == pytest.approx(max(levels[1]), abs=64)  # beside the tensors, a few scalars


def test_master_weights_are_state_and_have_gradients_of_their_own() -> None:
    weight = nn.Parameter(torch.zeros(1000, dtype=torch.bfloat16))
    plain, master = (
        optimizer_memory("sgd", RECIPES[name], [(weight, 1)], foreach=False) for name in ("bfloat16", "bfloat16_master")
    )
    assert (plain.state_bytes, plain.gradients_bytes) == (2000, 0)
    assert (master.state_bytes, master.gradients_bytes) == (4000 + 4000, 4000)


def tiny(method: TrainingMethod) -> InternLMXComposer2ForCausalLM:
    torch.manual_seed(0)
    model = InternLMXComposer2ForCausalLM(tiny_config())
    tune(model, method, LORA, trains_tower=False)
    return model


def gradients(model: InternLMXComposer2ForCausalLM) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)  # of the dropout
    training_loss(model, TrainingBatch.example(model.config, SMALL, torch.float32)).backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("rank", [None, 4])
def test_checkpointing_changes_no_gradient(rank: int | None) -> None:
    plain, recomputed = (gradients(tiny(TrainingMethod(rank, checkpointing))) for checkpointing in (False, True))
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


def test_adapters_alone_are_trained_and_begin_as_no_change() -> None:
    model = tiny(TrainingMethod(lora_rank=4))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    layers = model.config.num_hidden_layers
    assert len(trained) == 2 * len(LORA.layers) * layers
    assert all(".adapter." in name for name in trained)
    batch = TrainingBatch.example(model.config, SMALL, torch.float32)
    torch.manual_seed(0)
    before = training_loss(InternLMXComposer2ForCausalLM(tiny_config()), batch)
    torch.testing.assert_close(training_loss(model, batch), before)


def test_the_frozen_tower_has_no_gradient_and_the_projector_has() -> None:
    found = gradients(tiny(TrainingMethod()))
    assert not any(name.startswith("vit.") for name in found)
    assert "vision_proj.0.weight" in found and "output.weight" in found


@pytest.mark.slow
def test_a_plan_from_config_json_alone(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    asked = TrainingPlanRequest(str(tmp_path), prompt_tokens=9, new_tokens=4, device="cpu", lora_rank=2)
    told = training_plan_as_json(plan_training(asked))
    entries = {(entry["method"], entry["recipe"]): entry for entry in told["recipes"]}
    assert len(entries) == 4 * len(RECIPES)
    for entry in entries.values():
        peak = entry["phases"][entry["peak_phase"]]
        parts = entry["weights_bytes"], entry["optimizer_bytes"], peak["gradient_bytes"], peak["activation_bytes"]
        assert entry["total_bytes"] == sum(parts)
        assert entry["on_card_bytes"] > entry["total_bytes"]
        assert entry["fits"]["8 GB"] is True
    full, adapters = entries["full", "float32"], entries["lora", "float32"]
    assert full["optimizer_bytes"] > adapters["optimizer_bytes"]
    assert adapters["lora_rank"] == 2
    assert full["trained_parameters"] < told["parameters"]  # the tower is frozen
    assert entries["full", "float32"]["gradients_bytes"] == 2 * entries["full", "float16"]["gradients_bytes"]
    assert told["cards"]["8 GB"]["method"] == "full"
