"""Runs a fine-tuning: every recipe from the same start on the same batches, with its figures as they come."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends import checkpoint
from xcomposer_ui.backends.arithmetic import EXPECTED, without_tf32
from xcomposer_ui.backends.devices import choose_device, free_unused, synchronize
from xcomposer_ui.backends.finetuning.data import FinetuningData
from xcomposer_ui.backends.finetuning.learner import Learner, total_norm
from xcomposer_ui.backends.finetuning.probes import StepProbe, each_output, module_of
from xcomposer_ui.backends.finetuning.step_memory import StepMemory
from xcomposer_ui.backends.generation import without_folders
from xcomposer_ui.backends.run_control import Stopped
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.result import Failure
from xcomposer_ui.core.settings import EMBEDDED
from xcomposer_ui.explain import explain
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning, NonFinite, RecipeResult, non_finite_message
from xcomposer_ui.finetuning.verdicts import emulation_notes
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.runtime.backend import FailureSite, Progress

PROBED_STEPS = 5
"""Most steps of each recipe that are measured in full, evenly spread from the first to the last."""

MEMORY_STEP = 1
"""The step whose memory is measured: the second, because the optimizer makes its state in the first."""

NON_FINITE = "NonFiniteTraining"
"""The type of a failure by numbers that are not finite."""


def finetune(request: FinetuningRequest, device: str, progress: Progress, check: Check | None = None) -> Finetuning:
    """Fine-tune a copy of the embedded model under each recipe of `request`.

    device: one of DEVICES. progress: gets the results so far; its stop ends the run between two steps, and what is done
    is kept. check: of this machine, for the notes.
    Raises UserError if there is no such device.
    """
    chosen, _ = choose_device(device)
    run = _Run(request, chosen, emulation_notes(request, chosen, check))
    progress.finetuning = lambda: run.finetuning
    with without_tf32():
        try:
            run.all_recipes(progress.stop.is_set)
        except Stopped:
            return replace(run.finetuning, stopped=True)
        finally:
            free_unused(chosen)
    return run.finetuning


class _Run:
    """A fine-tuning in progress. finetuning: the results so far, replaced as a whole for readers in other threads."""

    def __init__(self, request: FinetuningRequest, device: str, notes: tuple[Sentence, ...]) -> None:
        self.request = request
        self.finetuning = Finetuning(request, device, notes=notes)

    def all_recipes(self, stopped: Callable[[], bool]) -> None:
        """Run each recipe in turn."""
        self._stopped = stopped
        self._model = _start_of(self.finetuning.device)
        vision = self._model.config.vision_config
        side = self._model.config.img_size
        self._data = FinetuningData(self.request, side, side // vision.patch_size)
        self._reference: Any = None
        for name in self.request.recipes:
            self._recipe(RecipeResult(name))
            free_unused(self.finetuning.device)
        self.finetuning = replace(self.finetuning, stage="finished")

    def show(self, result: RecipeResult, stage: str) -> None:
        """Publish `result` as the last of the results so far; raises Stopped where the user stopped the run."""
        earlier = tuple(other for other in self.finetuning.recipes if other.recipe != result.recipe)
        self.finetuning = replace(self.finetuning, recipes=(*earlier, result), stage=stage)
        if self._stopped():
            raise Stopped

    def _recipe(self, result: RecipeResult) -> None:
        self.show(result, "before")
        torch.manual_seed(self.request.seed)
        training = _Training(self, result)
        try:
            training.run()
        except EXPECTED as error:
            failed = training.failed(error)
            traceback.clear_frames(error.__traceback__)  # frees the activations that the frames hold
            self.show(failed, "train")

    def reference(self) -> Any:
        """A float32 model for the probes, made when it is first needed."""
        if self._reference is None:
            self._reference = _start_of(self.finetuning.device)
            self._reference.vit.requires_grad_(False)
        return self._reference

    @property
    def start(self) -> Any:
        """The model that every recipe starts from."""
        return self._model

    @property
    def data(self) -> FinetuningData:
        return self._data


def _start_of(device: str) -> Any:
    """The embedded model in float32, apart from the one that may be served."""
    return checkpoint.load(EMBEDDED, "float32", device, lambda fraction: None)[0]


class _Training:
    """One recipe's training, and its result so far."""

    def __init__(self, run: _Run, result: RecipeResult) -> None:
        self._run, self.result = run, result
        self._step = 0
        self._learner: Learner | None = None
        self._times_sec: list[float] = []

    def run(self) -> None:
        """Train all steps; ends earlier where a number is not finite."""
        run, request = self._run, self._run.request
        self._learner = learner = Learner(run.start, self.result.method, request, run.data)
        self._update("before", accuracy_before=self._accuracy(learner))
        self._update("train", skipped_steps=0 if learner.recipe.scaled else None)
        probed = probed_steps(request.steps)
        for self._step in range(request.steps):
            self._one_step(learner, self._step in probed, self._step == MEMORY_STEP)
            if self.result.failure is not None:
                return
        self._update("after")
        self._update("after", accuracy_after=self._accuracy(learner), finished=True)

    def failed(self, error: BaseException) -> RecipeResult:
        """The result that ends with the expected failure `error`."""
        message, kind = str(error), type(error).__name__
        text = without_folders("".join(traceback.format_exception(error)))
        site = FailureSite() if out_of_memory(kind, message) else self._site()
        return replace(self.result, failure=_failure(kind, message, site, self._run.finetuning.device, text))

    def _accuracy(self, learner: Learner) -> float | None:
        return learner.accuracy() if self._run.request.with_accuracy else None

    def _update(self, stage: str, **fields: Any) -> None:
        self.result = replace(self.result, **fields)
        self._run.show(self.result, stage)

    def _one_step(self, learner: Learner, probed: bool, measured: bool) -> None:
        examples = self._run.data.batch(self._step)
        learner.zero_grad()
        probe = StepProbe(learner, self._run.reference(), self._step) if probed else None
        memory = StepMemory(learner) if measured else None
        synchronize(learner.device_type)
        began = time.perf_counter()
        with memory.measured() if memory else nullcontext():
            with probe.activations() if probe else nullcontext():
                answers = learner.answers(examples)
            if memory:
                memory.forward_done()
            loss = learner.backward(answers)
            del answers
            if probe:
                probe.gradients(examples)
            scale = learner.scaler.get_scale()
            learner.unscale()
            norm = learner.gradient_norm()
            if probe:
                probe.before_update()
            updated = learner.update()
        synchronize(learner.device_type)
        if probe:
            probe.after_update(updated)
        elif not measured:
            self._times_sec.append(time.perf_counter() - began)
        self._note(learner, loss, norm, scale, updated, probe, memory)

    def _note(
        self,
        learner: Learner,
        loss: Tensor,
        norm: Tensor,
        scale: float,
        updated: bool,
        probe: StepProbe | None,
        memory: StepMemory | None,
    ) -> None:
        """Add a step to the result."""
        before = self.result
        skipped = None if before.skipped_steps is None else before.skipped_steps + (not updated)
        self.result = replace(
            before,
            losses=(*before.losses, _finite(loss)),
            gradient_norms=(*before.gradient_norms, _finite(norm)),
            loss_scales=(*before.loss_scales, scale) if learner.recipe.scaled else (),
            skipped_steps=skipped,
            probes=(*before.probes, probe.result()) if probe else before.probes,
            memory=memory.result() if memory else before.memory,
            step_sec=median(self._times_sec) if self._times_sec else None,
        )
        found = self._non_finite(learner, loss, norm, updated)
        if found is not None:
            message = non_finite_message(found)
            failure = _failure(NON_FINITE, message, FailureSite(module=found.module), self._run.finetuning.device, "")
            self.result = replace(self.result, non_finite=found, failure=failure)
        self._update("train")

    def _non_finite(self, learner: Learner, loss: Tensor, norm: Tensor, updated: bool) -> NonFinite | None:
        """Where a number came that is not finite and that the scaler did not keep from the weights."""
        if not loss.isfinite():
            module = self._first_non_finite_output(learner)
            return NonFinite(self._step, "activations" if module else "loss", module)
        if not updated or bool(total_norm(learner.updated.values()).isfinite()):
            return None
        name = next(name for name, weight in learner.updated.items() if not weight.isfinite().all())
        return NonFinite(self._step, "update" if norm.isfinite() else "gradients", module_of(name))

    def _first_non_finite_output(self, learner: Learner) -> str | None:
        """The first module of the forward pass whose output is not finite."""
        found: list[str] = []

        def check(name: str, output: Tensor) -> None:
            if not output.isfinite().all():
                found.append(name)

        with torch.no_grad(), each_output(learner.model, check):
            learner.answers(self._run.data.batch(self._step))
        return found[0] if found else None

    def _site(self) -> FailureSite:
        """Where the forward pass fails; empty where the failure is in the backward pass or the optimizer."""
        learner = self._learner
        if learner is None:
            return FailureSite()
        examples = self._run.data.batch(self._step)
        return trace_failure(lambda: learner.answers(examples), learner.model) or FailureSite()


def _failure(kind: str, message: Sentence, site: FailureSite, device: str, text: str) -> Failure:
    """The failure with its explanation; its remedy is a recipe, not a strategy."""
    explanation = explain(f"{kind}: {message}", device=device, operation=site.operation)
    return Failure(
        type=kind,
        message=message,
        module=site.module,
        operation=site.operation,
        operands=site.operands,
        explanation=replace(explanation, fixes=()),
        traceback=text,
    )


def probed_steps(steps: int) -> frozenset[int]:
    """The steps that are measured in full, from 0; not that of the memory, to which the measurement would add."""
    spread = {round(n * (steps - 1) / (PROBED_STEPS - 1)) for n in range(PROBED_STEPS)}
    return frozenset(spread - {MEMORY_STEP})


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
