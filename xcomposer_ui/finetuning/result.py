"""The result of a fine-tuning: losses, measured steps, memory and failure of each recipe. Frozen records, their JSON.

Units are in the names. What was not measured is None; a loss that is not finite is None too, as JSON has no NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.result import Failure, failure_as_json
from xcomposer_ui.finetuning.probe import GradientCounts, Largest, ModuleCounts, Probe, UpdateCounts, summed
from xcomposer_ui.finetuning.recipes import SMALLEST, Recipe, recipe_named
from xcomposer_ui.finetuning.request import FinetuningRequest

AVERAGED_LOSSES = 5
"""Steps at the end whose mean is the final loss: a batch's own loss varies more than the recipes do."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training, measured in the first step that begins with the optimizer's state.

    That is the second step, or a later one where the scaler skipped the first.

    weights: those of the forward pass. gradients: after the backward pass. optimizer: its state, and the float32 master
    weights where there are any. activations: what the forward pass leaves for the backward pass.
    peak: the most of all in use at once. kind: as a run's `peak_memory_kind`; "predicted" of a plan.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int | None = None
    peak: int | None = None
    kind: str | None = None


@dataclass(frozen=True)
class NonFinite:
    """Where NaN or infinity came first. step: from 0. module: its name; None for the loss.

    cause: "activations", "loss", "gradients" or "update".
    """

    step: int
    cause: str
    module: str | None


@dataclass(frozen=True)
class RecipeResult:
    """What one recipe did, so far or in the end.

    losses, gradient_norms: of each step; the loss without its divisor, the norm without the loss scale.
    loss_scales: at each step; () without a scaler. skipped_steps: that the scaler skipped; None without one.
    memory: None where no step began with the optimizer's state. predicted_memory: that of the second step, as planned
    before. step_sec: the median over the steps that were not measured.
    finished: whether all steps ran, with finite numbers and without failure.
    """

    recipe: str
    losses: tuple[float | None, ...] = ()
    gradient_norms: tuple[float | None, ...] = ()
    loss_scales: tuple[float, ...] = ()
    skipped_steps: int | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    probes: tuple[Probe, ...] = ()
    memory: TrainingMemory | None = None
    predicted_memory: TrainingMemory | None = None
    step_sec: float | None = None
    non_finite: NonFinite | None = None
    failure: Failure | None = None
    finished: bool = False

    @property
    def method(self) -> Recipe:
        return recipe_named(self.recipe)

    @property
    def remedy(self) -> str | None:
        """The name of the recipe that avoids the failure; None where there is no failure, or no such recipe."""
        if self.failure is None:
            return None
        ran_out = self.failure.explanation.family == "out_of_memory"
        return (SMALLEST if self.recipe != SMALLEST else None) if ran_out else self.method.remedy

    @property
    def final_loss(self) -> float | None:
        """The mean of the last losses; None where one is not finite, or there is none."""
        last = self.losses[-AVERAGED_LOSSES:]
        known = [loss for loss in last if loss is not None]
        return sum(known) / len(known) if last and len(known) == len(last) else None

    @property
    def modules(self) -> tuple[ModuleCounts, ...]:
        """Each module's counts over all measured steps."""
        found: dict[str, ModuleCounts] = {}
        for counts in (counts for probe in self.probes for counts in probe.modules):
            before = found.get(counts.module, ModuleCounts(counts.module, GradientCounts(), UpdateCounts()))
            found[counts.module] = ModuleCounts(
                counts.module, before.gradients + counts.gradients, before.updates + counts.updates
            )
        return tuple(found.values())

    @property
    def gradients(self) -> GradientCounts:
        """The counts of all gradients over all measured steps."""
        return sum((module.gradients for module in self.modules), GradientCounts())

    @property
    def updates(self) -> UpdateCounts:
        """The counts of all updates over all measured steps."""
        return sum((module.updates for module in self.modules), UpdateCounts())

    def largest(self, name: str) -> Largest | None:
        """The largest of the measured steps, relative to its dtype. name: "largest_gradient", "largest_activation"."""
        found = [largest for probe in self.probes if (largest := getattr(probe, name)) is not None]
        return max(found, key=lambda largest: largest.share, default=None)


@dataclass(frozen=True)
class Finetuning:
    """The recipes' results so far, in the order of the request.

    device: that it runs on. stage: "drawing", "before", "train", "after" or "finished". stopped: by the user.
    notes: what is to be known about this machine.
    """

    request: FinetuningRequest
    device: str
    recipes: tuple[RecipeResult, ...] = ()
    stage: str = "drawing"
    stopped: bool = False
    notes: tuple[Sentence, ...] = ()

    @property
    def done(self) -> float:
        """The share of all steps that ran, 0..1; a recipe that ended early counts as done."""
        *ended, current = self.recipes or (None,)
        if current is None:
            return 0.0
        own = 1.0 if current.finished or current.failure else len(current.losses) / self.request.steps
        return (len(ended) + own) / len(self.request.recipes)

    def of(self, recipe: str) -> RecipeResult | None:
        """The result of `recipe`; None where it has not run."""
        return next((result for result in self.recipes if result.recipe == recipe), None)


@dataclass(frozen=True)
class Finetuned:
    """An event: the results so far; the last event's `finetuning` has ended."""

    finetuning: Finetuning


def finetuning_as_json(finetuning: Finetuning) -> dict[str, Any]:
    """`finetuning` in the field names that scripts rely on."""
    return {
        "recipes": [recipe_as_json(result) for result in finetuning.recipes],
        "settings": {**record_as_data(finetuning.request), "device": finetuning.device},
        "notes": record_as_data(finetuning.notes, "en"),
        "stopped": finetuning.stopped,
    }


PLAIN_FIELDS = (
    "recipe", "finished", "final_loss", "accuracy_before", "accuracy_after", "losses", "gradient_norms", "loss_scales",
    "skipped_steps", "step_sec", "non_finite",
)  # fmt: skip
"""Of a `RecipeResult`, those that its JSON has under their own names."""


def recipe_as_json(result: RecipeResult) -> dict[str, Any]:
    """One recipe's entry, flat but for the memory, the modules and the failure."""
    memory = result.memory
    return {
        **{name: record_as_data(getattr(result, name)) for name in PLAIN_FIELDS},
        **_counts_as_json(result),
        "modules": [{"module": module.module, **_counts_as_json(module)} for module in result.modules],
        "loss_scale": result.loss_scales[-1] if result.loss_scales else None,
        "largest_gradient": record_as_data(result.largest("largest_gradient")),
        "largest_activation": record_as_data(result.largest("largest_activation")),
        "histogram": _histogram_as_json(result.probes),
        "peak_memory_bytes": memory.peak if memory else None,
        "peak_memory_kind": memory.kind if memory else None,
        "memory": _memory_as_json(memory, MEMORY_PARTS),
        "predicted_memory": _memory_as_json(result.predicted_memory, MEMORY_FIGURES),
        "failure": failure_as_json(result.failure),
    }


def _memory_as_json(memory: TrainingMemory | None, names: Sequence[str]) -> dict[str, int | None] | None:
    return None if memory is None else {name: getattr(memory, name) for name in names}


MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations")
"""The parts of `TrainingMemory`, in the order in which they are shown."""

MEMORY_FIGURES = (*MEMORY_PARTS, "peak")


def _counts_as_json(counted: RecipeResult | ModuleCounts) -> dict[str, Any]:
    return {
        "gradient_underflow": counted.gradients.underflow,
        "gradient_counts": vars(counted.gradients),
        "swallowed_updates": counted.updates.share,
        "update_counts": vars(counted.updates),
    }


def _histogram_as_json(probes: Sequence[Probe]) -> dict[str, Any] | None:
    if not probes:
        return None
    histogram = summed(probe.histogram for probe in probes)
    return {"lowest_exponent": histogram.lowest, "counts": list(histogram.counts), "zeros": histogram.zeros}


def non_finite_message(found: NonFinite) -> Message:
    """The sentence of a failure by numbers that are not finite; steps are counted from 1 for people."""
    code = f"train.non_finite.{found.cause}"
    return Message(code, step=found.step + 1, **({} if found.module is None else {"module": found.module}))
