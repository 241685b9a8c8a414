"""Plans that nobody had to make, for the page's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from xcomposer_ui.core.strategies import PLANNED
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.planning.cards import fits
from xcomposer_ui.planning.plan import OnCard, PhasePeak, Plan, PlanRequest, RunShape, StrategyPlan
from xcomposer_ui.planning.training_plan import (
    RecipePlan,
    TrainingMethod,
    TrainingPeak,
    TrainingPlan,
    TrainingPlanRequest,
)

GIB = 1 << 30


def strategy(name: str, weights: int, tiles: int | None = None) -> StrategyPlan:
    card = OnCard(weights + 3 * GIB, 32 << 20, 100 << 20, 512 << 20)
    phases = {
        "tower": PhasePeak(weights + GIB, 0, GIB),
        "prefill": PhasePeak(weights + 3 * GIB, GIB, 2 * GIB),
        "decode": PhasePeak(weights + 2 * GIB, GIB, GIB),
    }
    failing = name == "as_is"
    return StrategyPlan(
        name, "float16", weights, 2 * GIB, {"tower": phases["tower"]} if failing else phases,
        "tower" if failing else "prefill", card, {**fits(card.total_bytes), "Card (here)": True},
        fits_memory=True, largest_batch=None if failing else 7, largest_tiles=tiles,
        fails_in="tower" if failing else None,
    )  # fmt: skip


def a_plan(request: PlanRequest, tiles: int | None = None) -> Plan:
    strategies = tuple(strategy(name, (32 if "full" in name else 16) * GIB, tiles) for name in PLANNED)
    return Plan(
        request.model, "cpu", 8_670_000_000, 4.2, 1353, 1225, request, strategies, 24 * GIB, "as asked"
    )  # fmt: skip


def training_entry(recipe: str, method: TrainingMethod) -> RecipePlan:
    weights = (32 if RECIPES[recipe].weights == "float32" else 16) * GIB
    trained = GIB if method.lora_rank else weights
    activations = (1 if method.checkpointing else 7) * GIB
    phases = {
        "forward": TrainingPeak(weights + 2 * trained + activations, 0, activations),
        "backward": TrainingPeak(weights + 3 * trained + activations, trained, activations),
        "update": TrainingPeak(weights + 3 * trained, trained, 0),
    }
    card = OnCard(weights + 3 * trained + activations, 32 << 20, 100 << 20, 512 << 20)
    return RecipePlan(
        recipe, method, trained // 4, weights, trained, 2 * trained, phases, card, fits(card.total_bytes),
        fits_memory=phases["backward"].total_bytes <= 24 * GIB,
    )  # fmt: skip


def a_training_plan(request: TrainingPlanRequest) -> TrainingPlan:
    rank = request.lora_rank or 64
    methods = [TrainingMethod(r, checkpointing) for r in (None, rank) for checkpointing in (False, True)]
    return TrainingPlan(
        request.model, "cpu", 8_670_000_000, 4.2, 1609, 1225, request,
        tuple(training_entry(recipe, method) for method in methods for recipe in RECIPES), 24 * GIB, "free here",
    )  # fmt: skip


@dataclass
class ScriptedPlans:
    """Plans at once; asked: every request."""

    asked: list[PlanRequest] = field(default_factory=list)

    def plan(self, request: PlanRequest, gone: Callable[[], bool] = lambda: False) -> Plan:
        self.asked.append(request)
        return a_plan(request)

    def plan_training(self, request: TrainingPlanRequest, gone: Callable[[], bool] = lambda: False) -> TrainingPlan:
        self.asked.append(request)
        return a_training_plan(request)

    def predict(self, shape: RunShape, gone: Callable[[], bool] = lambda: False) -> int:
        return 15_000_000 + shape.new_tokens + 1000 * (shape.hd_num or 0)
