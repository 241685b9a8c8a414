"""Runs a fine-tuning: every recipe from the same start on the same batches, with its figures as they come."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from xcomposer_ui.backends import checkpoint
from xcomposer_ui.backends.arithmetic import EXPECTED, without_tf32
from xcomposer_ui.backends.devices import MOST_THREADS, choose_device, choose_threads, free_unused
from xcomposer_ui.backends.finetuning.data import Examples, FinetuningData
from xcomposer_ui.backends.finetuning.learner import Learner, forward, loss_of
from xcomposer_ui.backends.finetuning.recipe_training import MEMORY_STEP, RecipeTraining
from xcomposer_ui.backends.planning.fake_model import fake_model
from xcomposer_ui.backends.planning.recording import DtypeClash
from xcomposer_ui.backends.planning.training_dry_run import TrainingDryRun, optimizer_memory, training_dry_run, tune
from xcomposer_ui.backends.planning.training_planner import phase_peaks
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.settings import EMBEDDED, EMBEDDED_PATH
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning, RecipeResult, TrainingMemory
from xcomposer_ui.finetuning.verdicts import emulation_notes
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.planning.training_plan import TrainingMethod


def finetuning_steps(request: FinetuningRequest, device: str, check: Check | None = None) -> Iterator[Finetuning]:
    """Fine-tune a copy of the embedded model under each recipe of `request`; yields the results so far at each step.

    Between two steps nothing is computed, and nothing of PyTorch's state is changed, so that a run of another model may
    take place there. device: one of DEVICES. check: of this machine, for the notes.
    Raises UserError if there is no such device.
    """
    chosen, _ = choose_device(device)
    run = FinetuningRun(request, chosen, emulation_notes(request, chosen, check))
    steps = run.all_recipes()
    try:
        while True:
            with without_tf32(), _threads(run.threads):
                found = next(steps, None)
            if found is None:
                return
            yield found
    finally:
        steps.close()
        free_unused(chosen)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """A context with `count` threads on the CPU; outside are those of the model that is served, which may change."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class FinetuningRun:
    """A fine-tuning in progress, and what its recipes share. threads: on the CPU."""

    def __init__(self, request: FinetuningRequest, device: str, notes: tuple[Sentence, ...]) -> None:
        self.request = request
        self.finetuning = Finetuning(request, device, notes=notes)
        self.threads = torch.get_num_threads()
        self._accuracies: dict[tuple[str, str, str | None], float] = {}

    def all_recipes(self) -> Iterator[Finetuning]:
        yield self.finetuning
        device = self.finetuning.device
        self.start = _start_of(device)
        if device == "cpu" and self.threads == MOST_THREADS:  # not chosen yet, for a model that is served
            choose_threads(self.start, small=True)
            self.threads = torch.get_num_threads()
        vision, side = self.start.config.vision_config, self.start.config.img_size
        self.data = FinetuningData(self.request, side, side // vision.patch_size)
        self._predictor = MemoryPredictor(self.start.config, self.request, self.data, MEMORY_STEP)
        for name in self.request.recipes:
            yield from self._recipe(RecipeResult(name))
            free_unused(device)
        self.finetuning = replace(self.finetuning, stage="finished")
        yield self.finetuning

    def with_result(self, result: RecipeResult, stage: str) -> Finetuning:
        """The results so far, `result` the last of them."""
        earlier = tuple(other for other in self.finetuning.recipes if other.recipe != result.recipe)
        self.finetuning = replace(self.finetuning, recipes=(*earlier, result), stage=stage)
        return self.finetuning

    def accuracy_before(self, learner: Learner) -> float:
        """The accuracy before the first step, which is the same to the bit for recipes of the same dtypes."""
        dtypes = learner.recipe.dtypes
        if dtypes not in self._accuracies:
            self._accuracies[dtypes] = learner.accuracy()
        return self._accuracies[dtypes]

    @cached_property
    def reference(self) -> Any:
        """A float32 model for the probes, made when it is first needed."""
        model = _start_of(self.finetuning.device)
        model.vit.requires_grad_(False)
        return model

    def _recipe(self, result: RecipeResult) -> Iterator[Finetuning]:
        yield self.with_result(result, "before")
        if self.request.steps > MEMORY_STEP:
            predicted = self._predictor.predicted(result.method, self.finetuning.device)
            result = replace(result, predicted_memory=predicted)
        torch.manual_seed(self.request.seed)
        training = RecipeTraining(self, result)
        try:
            yield from training.steps()
        except EXPECTED as error:
            failed = training.failed(error)
            traceback.clear_frames(error.__traceback__)  # frees the activations that the frames hold
            yield self.with_result(failed, "train")


def _start_of(device: str) -> Any:
    """The embedded model in float32, apart from the one that may be served."""
    return checkpoint.load(EMBEDDED_PATH, "float32", device, lambda fraction: None, EMBEDDED)[0]


@dataclass(frozen=True)
class _Batch:
    """A batch of a fine-tuning in a dry run. image_positions: number of image tokens of all its pictures."""

    examples: Examples
    image_positions: int


class MemoryPredictor:
    """Predicts the memory of one step of each recipe by a dry run of the same step, without storage.

    config: of the model. step: whose batch it takes, from 0.
    """

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
        if recipe.dtypes not in self._dry_runs:
            config, pixels = self._config, getattr(torch, recipe.pixels)
            examples = self._data.batch(self._step)  # drawn here, with real numbers, as it is kept for the training
            with self._mode:
                fake = fake_model(config, getattr(torch, recipe.weights), kept=max(config.layer_counts().values()))
                tune(fake.model, TrainingMethod(), None, trains_tower=False)
                batch = self._batch(examples)
            self._dry_runs[recipe.dtypes] = training_dry_run(
                fake, recipe, self._mode, lambda: batch,
                lambda model, given: forward(model, given.examples, self._data, pixels), loss_of,
            )  # fmt: skip
        return self._dry_runs[recipe.dtypes]

    def _batch(self, examples: Examples) -> _Batch:
        pictures, _, height, width = examples.pixels.shape
        fake = replace(examples, pixels=torch.empty(examples.pixels.shape))
        return _Batch(fake, pictures * self._config.image_tokens_of((height, width)))
