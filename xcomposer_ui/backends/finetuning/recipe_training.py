"""One recipe's training: its steps with their figures, and the failure that may end them."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xcomposer_ui.backends.devices import synchronize
from xcomposer_ui.backends.finetuning.learner import Learner, total_norm
from xcomposer_ui.backends.finetuning.probes import StepMemory, StepProbe, module_of
from xcomposer_ui.backends.generation import without_folders
from xcomposer_ui.backends.module_outputs import Key, outputs_of
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.result import Failure
from xcomposer_ui.explain import explain
from xcomposer_ui.finetuning.result import Finetuning, NonFinite, RecipeResult, non_finite_message
from xcomposer_ui.finetuning.verdicts import out_of_memory_message
from xcomposer_ui.tracing.dtype_flow import FailureSite

if TYPE_CHECKING:
    from xcomposer_ui.backends.finetuning.execution import FinetuningRun

PROBED_STEPS = 5
"""Most steps of each recipe that are measured in full, evenly spread from the first to the last."""

MEMORY_STEP = 1
"""The first step whose memory is measured: the second, because the optimizer makes its state in the first.

A later one where the scaler skipped the first: the first step that begins with the state. Where none does, the memory
is not measured.
"""

NON_FINITE = "NonFiniteTraining"
"""The type of a failure by numbers that are not finite."""


class RecipeTraining:
    """One recipe's training, and its result so far."""

    def __init__(self, run: FinetuningRun, result: RecipeResult) -> None:
        self._run, self.result = run, result
        self._step = 0
        self._learner: Learner | None = None
        self._times_sec: list[float] = []

    def steps(self) -> Iterator[Finetuning]:
        """Train all steps, and yield the results so far after each; ends earlier where a number is not finite."""
        run, request = self._run, self._run.request
        self._learner = learner = Learner(run.start, self.result.method, request, run.data)
        yield self._updated("before", accuracy_before=run.accuracy_before(learner) if request.with_accuracy else None)
        yield self._updated("train", skipped_steps=0 if learner.recipe.scaled else None)
        probed = probed_steps(request.steps)
        for self._step in range(request.steps):
            measured = self._step >= MEMORY_STEP and self.result.memory is None and bool(learner.optimizer.state)
            self._one_step(learner, self._step in probed and not measured, measured)
            yield self._updated("train")
            if self.result.failure is not None:
                return
        yield self._updated("after")
        accuracy = learner.accuracy() if request.with_accuracy else None
        yield self._updated("after", accuracy_after=accuracy, finished=True)

    def failed(self, error: BaseException) -> RecipeResult:
        """The result that ends with the expected failure `error`."""
        message, kind = str(error), type(error).__name__
        text = without_folders("".join(traceback.format_exception(error)))
        device = self._run.finetuning.device
        if not out_of_memory(kind, message):
            return replace(self.result, failure=_failure(kind, message, self._site(), device, text))
        failure = _failure(kind, message, FailureSite(), device, text)
        cause = out_of_memory_message(self.result, self._run.request)
        return replace(self.result, failure=replace(failure, explanation=replace(failure.explanation, cause=cause)))

    def _updated(self, stage: str, **fields: Any) -> Finetuning:
        self.result = replace(self.result, **fields)
        return self._run.with_result(self.result, stage)

    def _one_step(self, learner: Learner, probed: bool, measured: bool) -> None:
        examples = self._run.data.batch(self._step)
        learner.zero_grad()
        probe = StepProbe(learner, self._run.reference, self._step) if probed else None
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
        found: list[str] = []

        def check(key: Key, output: Tensor) -> None:
            if not output.isfinite().all():
                found.append(key[0])

        with torch.no_grad(), outputs_of(learner.model, check):
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
        **vars(site),
        explanation=replace(explanation, fixes=()),
        traceback=text,
    )


def probed_steps(steps: int) -> frozenset[int]:
    """The steps that are measured in full, from 0, but for that of the memory, to which the measurement would add."""
    return frozenset(round(n * (steps - 1) / (PROBED_STEPS - 1)) for n in range(PROBED_STEPS))


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
