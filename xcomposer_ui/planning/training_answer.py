"""Whether a fine-tuning fits, in words: a sentence for the memory in question, and one for each size of card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.planning.training_plan import BestFit, TrainingMethod, TrainingPlan, best_fit_here, best_fits

MEMORY_NAMES = {"as asked": "plan.memory.as_asked", "free here": "plan.memory.free_here"}
"""Names of the memory that a plan compares with -> the text's key; any other is a card's own name."""


@dataclass(frozen=True)
class Answer:
    """memory: the cards, or the memory in question. sentence: what fits it. fits: whether anything does."""

    memory: str
    sentence: str
    fits: bool


def answers(plan: TrainingPlan, language: str) -> Iterator[Answer]:
    """What fits the memory in question, if that is known, and each card; cards with the same answer share it."""
    here = best_fit_here(plan)
    if here is not None:
        size = joined(memory(plan.memory_bytes))
        name = text("plan.train.memory", language, memory=size, name=memory_name(here.memory, language))
        least = min(plan.needed_bytes(entry) for entry in plan.recipes)
        yield Answer(name, _sentence(plan, here, least, language), here.method is not None)
    least = min(entry.on_card.total_bytes for entry in plan.recipes)
    for (method, recipes), group in groupby(best_fits(plan), key=lambda fit: (fit.method, fit.recipes)):
        cards = text("list.separator", language).join(fit.memory for fit in group)
        yield Answer(cards, _sentence(plan, BestFit(cards, method, recipes), least, language), method is not None)


def memory_name(name: str, language: str) -> str:
    return text(MEMORY_NAMES[name], language) if name in MEMORY_NAMES else name


def method_name(method: TrainingMethod, language: str) -> str:
    """A method in words: "LoRA of rank 64 with checkpointing"."""
    return text(f"plan.method.{method.name}", language, **({"rank": method.lora_rank} if method.lora_rank else {}))


def recipe_name(recipe: str, language: str) -> str:
    return text(RECIPES[recipe].key, language)


def _sentence(plan: TrainingPlan, fit: BestFit, least: int, language: str) -> str:
    """least: bytes that the plan's entry with the smallest need takes."""
    if fit.method is None:
        return text("plan.train.no", language, needed=joined(memory(least)))
    facts = {"method": method_name(fit.method, language), "recipes": _recipes(fit, language)}
    if fit.method == plan.methods[0]:
        return text("plan.train.yes", language, **facts)
    return text("plan.train.no_but", language, refused=method_name(plan.methods[0], language), **facts)


def _recipes(fit: BestFit, language: str) -> str:
    if len(fit.recipes) == len(RECIPES):
        needs = [needed for _, needed in fit.recipes]
        return text("plan.train.every", language, least=joined(memory(min(needs))), most=joined(memory(max(needs))))
    return text("list.separator", language).join(
        text("plan.train.some", language, recipe=recipe_name(entry.recipe, language), needed=joined(memory(needed)))
        for entry, needed in fit.recipes
    )
