"""The memory of a fine-tuning's step as planned: a dry run of the same step, without storage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from xcomposer_ui.backends.arithmetic import EXPECTED
from xcomposer_ui.backends.finetuning.data import Examples, FinetuningData
from xcomposer_ui.backends.finetuning.learner import forward, loss_of
from xcomposer_ui.backends.planning.fake_model import fake_model
from xcomposer_ui.backends.planning.optimizer_memory import optimizer_memory
from xcomposer_ui.backends.planning.recording import DtypeClash
from xcomposer_ui.backends.planning.training_dry_run import TrainingDryRun, training_dry_run
from xcomposer_ui.backends.planning.training_planner import phase_peaks
from xcomposer_ui.backends.planning.tuned_model import tune
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import TrainingMemory
from xcomposer_ui.planning.training_plan import TrainingMethod


@dataclass(frozen=True)
class _Batch:
    """A batch of a fine-tuning in a dry run. image_positions: number of image tokens of all its pictures."""

    examples: Examples
    image_positions: int


class MemoryPredictor:
    """Predicts the memory of one step of each recipe. config: of the model. step: whose batch it takes, from 0."""

    def __init__(self, config: Any, request: FinetuningRequest, data: FinetuningData, step: int) -> None:
        self._config, self._request, self._data, self._step = config, request, data, step
        self._mode = FakeTensorMode()
        self._dry_runs: dict[tuple[str, str, str | None], TrainingDryRun] = {}

    def predicted(self, recipe: Recipe, device: str) -> TrainingMemory | None:
        """The memory of a step under `recipe`; None where its dry run fails, as the real step then does."""
        try:
            seen = self._dry_run(recipe)
        except (DtypeClash, *EXPECTED):
            return None
        update = optimizer_memory(self._request.optimizer, recipe, seen.trained, foreach=device != "cpu")
        masters = seen.untouched * getattr(torch, recipe.updated_dtype).itemsize if recipe.master_weights else 0
        peak = max(phase.total_bytes for phase in phase_peaks(seen, update, scratch=device == "cpu").values())
        return TrainingMemory(
            weights=seen.weights_bytes,
            gradients=seen.gradients_bytes,
            optimizer=update.state_bytes + masters,
            activations=seen.forward_bytes,
            peak=peak + masters,
            kind="predicted",
        )

    def _dry_run(self, recipe: Recipe) -> TrainingDryRun:
        """The dry run of a step; recipes that differ in the loss and the update alone share one."""
        key = recipe.weights, recipe.pixels, recipe.autocast
        if key not in self._dry_runs:
            config, pixels = self._config, getattr(torch, recipe.pixels)
            examples = self._data.batch(self._step)  # drawn here, with real numbers, as it is kept for the training
            with self._mode:
                fake = fake_model(config, getattr(torch, recipe.weights), kept=max(config.layer_counts().values()))
                tune(fake.model, TrainingMethod(), None, trains_tower=False)
                batch = self._batch(examples)
            self._dry_runs[key] = training_dry_run(
                fake, recipe, self._mode, lambda: batch,
                lambda model, given: forward(model, given.examples, self._data, pixels), loss_of,
            )  # fmt: skip
        return self._dry_runs[key]

    def _batch(self, examples: Examples) -> _Batch:
        pictures, _, height, width = examples.pixels.shape
        fake = replace(examples, pixels=torch.empty(examples.pixels.shape))
        return _Batch(fake, pictures * self._config.image_tokens_of((height, width)))
