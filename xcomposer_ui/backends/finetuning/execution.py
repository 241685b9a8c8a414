"""Runs a fine-tuning: every recipe from the same start on the same batches, with its figures as they come."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from xcomposer_ui.backends import checkpoint
from xcomposer_ui.backends.arithmetic import EXPECTED, without_tf32
from xcomposer_ui.backends.devices import MOST_THREADS, choose_device, choose_threads, free_unused
from xcomposer_ui.backends.finetuning.data import FinetuningData
from xcomposer_ui.backends.finetuning.learner import Learner
from xcomposer_ui.backends.finetuning.predicted_memory import MemoryPredictor
from xcomposer_ui.backends.finetuning.recipe_training import MEMORY_STEP, RecipeTraining
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.settings import EMBEDDED, EMBEDDED_PATH
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning, RecipeResult
from xcomposer_ui.finetuning.verdicts import emulation_notes
from xcomposer_ui.planning.hardware import Check


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
        recipe = learner.recipe
        dtypes = recipe.weights, recipe.pixels, recipe.autocast
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
