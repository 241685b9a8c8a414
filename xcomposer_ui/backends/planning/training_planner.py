"""Plans of fine-tuning: a dry run of a training step by every method, and what it needs under each recipe."""

from __future__ import annotations

import time
from typing import Any

import torch

from xcomposer_ui.backends.planning.card_memory import training_on_card
from xcomposer_ui.backends.planning.configuration import image_tokens, planned_configuration
from xcomposer_ui.backends.planning.fake_model import FakeModel, fake_model
from xcomposer_ui.backends.planning.planner import AvailableMemory, memory_here, planned_device
from xcomposer_ui.backends.planning.recording import peaks
from xcomposer_ui.backends.planning.training_dry_run import (
    OptimizerMemory,
    TrainingBatch,
    TrainingDryRun,
    optimizer_memory,
    training_dry_run,
    tune,
)
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.finetuning.recipes import RECIPES, Recipe
from xcomposer_ui.models import family_of
from xcomposer_ui.models.base import FamilyConfig
from xcomposer_ui.planning.cards import fits
from xcomposer_ui.planning.training_plan import (
    TRAINING_PHASES,
    UPDATE,
    RecipePlan,
    TrainingMethod,
    TrainingPeak,
    TrainingPlan,
    TrainingPlanRequest,
)


def plan_training(request: TrainingPlanRequest) -> TrainingPlan:
    """Memory of fine-tuning by every method under every recipe. Reads no weights, needs no GPU.

    Raises UserError for a model that does not exist.
    """
    started = time.perf_counter()
    device = planned_device(request)
    planner = TrainingPlanner(planned_configuration(request), request, device)
    memory = memory_here(request, device)
    recipes = tuple(
        planner.planned(recipe, method, memory) for method in planner.methods() for recipe in RECIPES.values()
    )
    return TrainingPlan(
        model=request.model,
        device=device,
        parameters=planner.parameters,
        planned_sec=time.perf_counter() - started,
        sequence_tokens=planner.sequence_tokens,
        image_tokens=image_tokens(planner.config, request),
        request=request,
        recipes=recipes,
        memory_bytes=memory.bytes,
        memory_name=memory.name,
        memory_on_card=memory.on_card,
    )


class TrainingPlanner:
    """One configuration's dry runs of a training step, by method and by the widths of the recipe's dtypes."""

    def __init__(self, config: FamilyConfig, request: TrainingPlanRequest, device: str) -> None:
        self.config, self.request, self.device = config, request, device
        family = family_of(config)
        self._lora = None if family is None else family.facts.lora
        self._mode = FakeTensorMode()
        self._dry_runs: dict[tuple[Any, ...], TrainingDryRun] = {}

    @property
    def parameters(self) -> int:
        """Of the whole model, without adapters."""
        with self._mode:
            return fake_model(self.config, torch.float32).parameters

    @property
    def sequence_tokens(self) -> int:
        """Of an example: its picture, its prompt and its answer."""
        tokens = image_tokens(self.config, self.request) + self.request.prompt_tokens + self.request.new_tokens
        return min(tokens, self.config.max_prompt_tokens)

    def methods(self) -> tuple[TrainingMethod, ...]:
        """Full fine-tuning, and LoRA if the family's adapters are known, each without and with checkpointing."""
        ranks = [None] if self._lora is None else [None, self.request.lora_rank or self._lora.rank]
        return tuple(TrainingMethod(rank, checkpointing) for rank in ranks for checkpointing in (False, True))

    def planned(self, recipe: Recipe, method: TrainingMethod, memory: AvailableMemory) -> RecipePlan:
        seen = self.dry_run(recipe, method)
        update, on_card = (
            optimizer_memory(self.request.optimizer, recipe, seen.trained, foreach=foreach) for foreach in (False, True)
        )
        card = training_on_card(seen, on_card)
        phases = phase_peaks(seen, update, scratch=self.device == "cpu")
        needed = card.total_bytes if memory.on_card else max(peak.total_bytes for peak in phases.values())
        return RecipePlan(
            recipe=recipe.name,
            method=method,
            trained_parameters=sum(count * parameter.numel() for parameter, count in seen.trained),
            weights_bytes=seen.weights_bytes,
            gradients_bytes=seen.gradients_bytes + update.gradients_bytes,
            optimizer_bytes=update.state_bytes,
            phases=phases,
            on_card=card,
            fits=fits(card.total_bytes),
            fits_memory=None if memory.bytes is None else needed <= memory.bytes,
        )

    def dry_run(self, recipe: Recipe, method: TrainingMethod) -> TrainingDryRun:
        """The dry run of a training step.

        Recipes that differ in the 16-bit type alone share one, but not on the CPU, whose kernels need other scratch
        memory for float16 than for bfloat16.
        """
        widths = (None if name is None else getattr(torch, name).itemsize for name in recipe.dtypes)
        key = method, *(recipe.dtypes if self.device == "cpu" else widths)
        if key not in self._dry_runs:
            fake = self._tuned(recipe, method)
            pixels_dtype = getattr(torch, recipe.pixels)
            self._dry_runs[key] = training_dry_run(
                fake, recipe, self._mode, lambda: TrainingBatch.example(self.config, self.request, pixels_dtype)
            )
        return self._dry_runs[key]

    def _tuned(self, recipe: Recipe, method: TrainingMethod) -> FakeModel:
        with self._mode:
            fake = fake_model(self.config, getattr(torch, recipe.weights))
            tune(fake.model, method, self._lora, trains_tower=self.request.trains_tower)
        return fake


def phase_peaks(seen: TrainingDryRun, update: OptimizerMemory, *, scratch: bool) -> dict[str, TrainingPeak]:
    """Phase -> its peak, weights and optimizer state included. scratch: whether that of CPU kernels is counted."""
    always = seen.weights_bytes + update.state_bytes
    gradients = seen.gradients_bytes + update.gradients_bytes
    rest = seen.left_bytes - seen.gradients_bytes + update.scratch_bytes
    found = {
        phase: TrainingPeak(always + peak.live_bytes, peak.kept_bytes, peak.live_bytes - peak.kept_bytes)
        for phase, peak in peaks(seen, scratch=scratch).items()
    }
    found[UPDATE] = TrainingPeak(always + gradients + rest, gradients, rest)
    return {phase: found[phase] for phase in TRAINING_PHASES}
