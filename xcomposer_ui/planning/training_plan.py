"""A memory plan of a fine-tuning and its request: frozen records, their checks, their JSON, and what fits which card.

At any time a training step needs weights + gradients + optimizer state + activations; a plan gives the peak of that
sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import check_number, tile_settings
from xcomposer_ui.finetuning.recipes import OPTIMIZERS
from xcomposer_ui.planning.plan import OnCard, PlanRequest, checked_request

FORWARD, BACKWARD, UPDATE = TRAINING_PHASES = ("forward", "backward", "update")
"""forward: pictures and text to the loss. backward: the gradients. update: the optimizer changes the weights."""

MOST_RANK = 4096


@dataclass(frozen=True)
class TrainingPlanRequest(PlanRequest):
    """A PlanRequest whose `new_tokens` are the answer's that is trained on; `half` is the recipes' own.

    optimizer: a name of OPTIMIZERS. lora_rank: of the adapters, None for the family's own.
    trains_tower: whether full fine-tuning trains the vision tower too, which is usually frozen.
    """

    optimizer: str = "adamw"
    lora_rank: int | None = None
    trains_tower: bool = False


TRAINING_FIELDS = tuple(f.name for f in fields(TrainingPlanRequest) if f.name not in PlanRequest.__dataclass_fields__)
"""Names of the fields that a TrainingPlanRequest has in addition to a PlanRequest's."""


@dataclass(frozen=True)
class TrainingMethod:
    """What is trained, and how activations are kept.

    lora_rank: of low-rank adapters, which alone are trained then; None for full fine-tuning.
    checkpointing: whether only the inputs of each layer are kept, and the rest is computed again in the backward pass.
    """

    lora_rank: int | None = None
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """ "full", "full_checkpointing", "lora" or "lora_checkpointing"."""
        kind = "full" if self.lora_rank is None else "lora"
        return f"{kind}_checkpointing" if self.checkpointing else kind


@dataclass(frozen=True)
class TrainingPeak:
    """Memory at the peak of a phase: total_bytes = weights + optimizer state + gradient_bytes + activation_bytes.

    gradient_bytes: of the gradients that exist by then. activation_bytes: all that is none of the others.
    """

    total_bytes: int
    gradient_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class RecipePlan:
    """Memory of training under one recipe by one method, in bytes, from the second step on: then the state exists.

    trained_parameters: their number. weights_bytes: of all weights, adapters included. gradients_bytes: of all
    gradients, with their float32 copies where there are master weights. optimizer_bytes: of the optimizer's state and
    the master weights. phases: phase -> its peak. fits: card's name -> whether `on_card` fits it.
    """

    recipe: str
    method: TrainingMethod
    trained_parameters: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    phases: Mapping[str, TrainingPeak]
    on_card: OnCard
    fits: Mapping[str, bool]
    fits_memory: bool | None = None

    @property
    def peak_phase(self) -> str:
        return max(self.phases, key=lambda phase: self.phases[phase].total_bytes)

    @property
    def total_bytes(self) -> int:
        return self.phases[self.peak_phase].total_bytes

    @property
    def activations_bytes(self) -> int:
        """The most activations of any phase; not always those at the peak of the whole step."""
        return max(peak.activation_bytes for peak in self.phases.values())


@dataclass(frozen=True)
class TrainingPlan:
    """Every recipe by every method for one request. parameters: of the whole model, without adapters.

    sequence_tokens: of one example, picture included. memory_bytes, memory_name: what `fits_memory` compares with; None
    where it is unknown. memory_on_card: whether a card's driver counts those bytes; else they are of live tensors.
    """

    model: str
    device: str
    parameters: int
    planned_sec: float
    sequence_tokens: int
    image_tokens: int
    request: TrainingPlanRequest
    recipes: tuple[RecipePlan, ...]
    memory_bytes: int | None = None
    memory_name: str | None = None
    memory_on_card: bool = False

    @property
    def methods(self) -> tuple[TrainingMethod, ...]:
        """The planned methods, the one that needs most first."""
        return tuple(dict.fromkeys(entry.method for entry in self.recipes))

    def needed_bytes(self, entry: RecipePlan) -> int:
        """What `entry` needs of the memory that the plan compares with: on a card the driver's count."""
        return entry.on_card.total_bytes if self.memory_on_card else entry.total_bytes

    def by(self, method: TrainingMethod) -> tuple[RecipePlan, ...]:
        """The recipes by `method`."""
        return tuple(entry for entry in self.recipes if entry.method == method)


@dataclass(frozen=True)
class BestFit:
    """What fits one memory. method: the first of the plan's that fits under some recipe, None where none does.

    recipes: those that fit by it, in their order, each with the bytes that it needs of this memory.
    """

    memory: str
    method: TrainingMethod | None
    recipes: tuple[tuple[RecipePlan, int], ...] = ()


def best_fits(plan: TrainingPlan) -> Iterator[BestFit]:
    """What fits each of the plan's cards, the smallest card first."""
    for card in plan.recipes[0].fits:
        yield _best(card, plan, ((entry, entry.on_card.total_bytes) for entry in plan.recipes if entry.fits[card]))


def best_fit_here(plan: TrainingPlan) -> BestFit | None:
    """What fits the memory that the plan compares with; None where that is unknown."""
    if plan.memory_name is None:
        return None
    fitting = ((entry, plan.needed_bytes(entry)) for entry in plan.recipes if entry.fits_memory)
    return _best(plan.memory_name, plan, fitting)


def _best(memory: str, plan: TrainingPlan, fitting: Iterable[tuple[RecipePlan, int]]) -> BestFit:
    found = tuple(fitting)
    method = next((m for m in plan.methods if any(entry.method == m for entry, _ in found)), None)
    return BestFit(memory, method, tuple((entry, needed) for entry, needed in found if entry.method == method))


def checked_training_request(request: TrainingPlanRequest) -> TrainingPlanRequest:
    """`request` if its fields are within their limits. Raises UserError otherwise."""
    checked_request(request)
    if request.optimizer not in OPTIMIZERS:
        raise UserError("unknown_setting", name="optimizer", value=request.optimizer, known=", ".join(OPTIMIZERS))
    if request.lora_rank is not None:
        check_number("lora_rank", request.lora_rank, 1, MOST_RANK)
    return request


def training_plan_as_json(plan: TrainingPlan) -> dict[str, Any]:
    """`plan` in the field names that scripts rely on."""
    request = plan.request
    return {
        **{name: value for name, value in vars(plan).items() if name not in ("request", "recipes")},
        "image": None if request.image is None else list(request.image),
        **tile_settings(request),
        "prompt_tokens": request.prompt_tokens,
        "new_tokens": request.new_tokens,
        "batch": request.batch,
        "optimizer": request.optimizer,
        "trains_tower": request.trains_tower,
        "recipes": [_entry_as_json(entry) for entry in plan.recipes],
        "cards": {fit.memory: _fit_as_json(fit) for fit in best_fits(plan)},
    }


def _entry_as_json(entry: RecipePlan) -> dict[str, Any]:
    fields = asdict(entry)
    return {
        **{name: value for name, value in fields.items() if name != "method"},
        "method": entry.method.name,
        "lora_rank": entry.method.lora_rank,
        "checkpointing": entry.method.checkpointing,
        "activations_bytes": entry.activations_bytes,
        "total_bytes": entry.total_bytes,
        "peak_phase": entry.peak_phase,
        "on_card_bytes": entry.on_card.total_bytes,
    }


def _fit_as_json(fit: BestFit) -> dict[str, Any]:
    return {
        "method": None if fit.method is None else fit.method.name,
        "recipes": {entry.recipe: needed for entry, needed in fit.recipes},
    }
