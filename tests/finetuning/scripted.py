"""Results of a fine-tuning that are written out, and a runner that plays them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import Explanation, Failure
from xcomposer_ui.finetuning.probe import GradientCounts, Histogram, Largest, ModuleCounts, Probe, UpdateCounts
from xcomposer_ui.finetuning.recipes import recipe_named
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning, RecipeResult, TrainingMemory

FAILURE = Failure(
    type="ValueError",
    message="Attempting to unscale FP16 gradients.",
    module=None,
    operation=None,
    operands=(),
    explanation=Explanation(True, "scaler_gradients", "GradScaler met half gradients", "The weights are float16."),
    traceback="Traceback (most recent call last): …",
)


def probe(name: str, zero: int = 0, swallowed: int = 0) -> Probe:
    """One measured step: 1,000 gradients in two modules, `zero` of them lost, `swallowed` of 900 updates."""
    method = recipe_named(name)
    modules = (
        ModuleCounts("vision_proj", GradientCounts(400, zero), UpdateCounts(400, swallowed)),
        ModuleCounts("model.layers.0.attention", GradientCounts(600, 0, 30), UpdateCounts(500, 0)),
    )
    largest = Largest(0.5, "output", method.computed_dtype, 0.5 / 65504)
    scale = 65536.0 if method.scaled else 1.0
    return Probe(0, scale, modules, Histogram(-30, (10, 200, 500, 90)), largest, replace(largest, value=117.0))


def finished(name: str, after: float = 0.9, zero: int = 0, swallowed: int = 0) -> RecipeResult:
    """A recipe that ran to its end in two steps."""
    return RecipeResult(
        name,
        losses=(4.0, 0.02),
        gradient_norms=(20.0, 0.5),
        loss_scales=(65536.0, 65536.0) if recipe_named(name).scaled else (),
        skipped_steps=0 if recipe_named(name).scaled else None,
        accuracy_before=0.0,
        accuracy_after=after,
        probes=(probe(name, zero, swallowed),),
        memory=TrainingMemory(8 << 20, 5 << 20, 10 << 20, 21 << 20, 42 << 20, "cpu_tensors"),
        predicted_memory=TrainingMemory(8 << 20, 5 << 20, 10 << 20, 20 << 20, 41 << 20, "predicted"),
        step_sec=0.1,
        finished=True,
    )


def result_of(name: str) -> RecipeResult:
    """The scripted end of a recipe: mistakes fail, everything float16 loses its numbers."""
    if name in ("float16_scaled", "no_autocast"):
        return RecipeResult(name, accuracy_before=0.0, skipped_steps=0, failure=FAILURE)
    return finished(name)


class ScriptedTrainer:
    """A runner's fine-tuning: a wait, each recipe begun and ended, the end. asked: the requests."""

    def __init__(self) -> None:
        self.asked: list[FinetuningRequest] = []

    def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
        self.asked.append(request)
        yield Waiting()
        now = Finetuning(request, "cpu", notes=(Message("train.emulated", dtype="float16", device="CPU"),))
        yield Finetuned(now)
        for name in request.recipes:
            begun = RecipeResult(name, losses=(4.0,), gradient_norms=(20.0,), accuracy_before=0.0)
            yield Finetuned(replace(now, recipes=(*now.recipes, begun), stage="train"))
            now = replace(now, recipes=(*now.recipes, result_of(name)))
        yield Finetuned(replace(now, stage="finished"))
