"""The verdict on each recipe in a sentence, from its figures, and what is to be known about the machine."""

from __future__ import annotations

from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.core.units import joined, memory, share, significant
from xcomposer_ui.finetuning.recipes import REFERENCE, recipe_named
from xcomposer_ui.finetuning.request import HELD_OUT_QUESTIONS, FinetuningRequest
from xcomposer_ui.finetuning.result import AVERAGED_LOSSES, MEMORY_FIGURES, Finetuning, RecipeResult
from xcomposer_ui.planning.default_choices import verdict_on
from xcomposer_ui.planning.hardware import SLOW, Check

DIFFERENT_QUESTIONS = 10
"""Of HELD_OUT_QUESTIONS, by which two accuracies must differ for one recipe to have learned less: twice the standard
deviation of a difference of two shares near 0.9 is 8.5 questions. A recipe that
gains fewer by training has not learned."""

MENTIONED_SHARE = 0.01
"""Shares of underflow and of swallowed updates from here on are part of the verdict."""


def verdict(result: RecipeResult, finetuning: Finetuning) -> Message | None:
    """The verdict on `result`; None while it runs, and for what was stopped."""
    if result.failure is not None:
        step = len(result.losses) + (result.non_finite is None)
        return Message("train.verdict.failed", step=step, title=result.failure.explanation.title)
    if not result.finished or result.accuracy_after is None:
        return None
    return Message("train.verdict", learned=_learned(result, finetuning.of(REFERENCE)), why=_why(result))


def _learned(result: RecipeResult, reference: RecipeResult | None) -> Message:
    facts = {
        "right": _questions(result.accuracy_after),
        "before": _questions(result.accuracy_before),
        "total": HELD_OUT_QUESTIONS,
        "averaged": min(AVERAGED_LOSSES, len(result.losses)),
        "loss": "—" if result.final_loss is None else significant(result.final_loss),
    }
    if reference is None or reference is result or reference.accuracy_after is None:
        return Message("train.verdict.alone" if _learns(result) else "train.verdict.nothing", **facts)
    difference = _questions(result.accuracy_after) - _questions(reference.accuracy_after)
    facts["reference"] = _questions(reference.accuracy_after)
    case = "less" if difference <= -DIFFERENT_QUESTIONS else "more" if difference >= DIFFERENT_QUESTIONS else "same"
    if case == "same" and not _learns(reference):
        case = "neither"
    return Message(f"train.verdict.{case}", **facts)


def _learns(result: RecipeResult) -> bool:
    return _questions(result.accuracy_after) - _questions(result.accuracy_before) >= DIFFERENT_QUESTIONS


def _why(result: RecipeResult) -> Message:
    """The shares that matter, and the scaler's skipped steps."""
    underflow, swallowed = result.gradients.underflow or 0.0, result.updates.share or 0.0
    facts = {"underflow": share(underflow), "swallowed": share(swallowed)}
    both = (underflow >= MENTIONED_SHARE, swallowed >= MENTIONED_SHARE)
    case = {(True, True): "both", (True, False): "underflow", (False, True): "swallowed"}.get(both, "neither")
    why = Message(f"train.why.{case}", **facts)
    return why if not result.skipped_steps else Message("train.why.skipped", why=why, steps=result.skipped_steps)


def _questions(accuracy: float | None) -> int:
    return round((accuracy or 0.0) * HELD_OUT_QUESTIONS)


def out_of_memory_message(result: RecipeResult, request: FinetuningRequest) -> Message:
    """What a step of the recipe needs, part by part, and what needs less."""
    planned = result.predicted_memory
    sizes = {name: None if planned is None else getattr(planned, name) for name in MEMORY_FIGURES}
    facts = {name: joined(memory(size)) for name, size in sizes.items()}
    return Message("train.out_of_memory", batch=request.batch, **facts)


def emulation_notes(request: FinetuningRequest, device: str, check: Check | None) -> tuple[Message, ...]:
    """One sentence for each 16-bit dtype of the recipes that this machine has no arithmetic for."""
    computed = {recipe_named(name).computed_dtype for name in request.recipes}
    slow = [half for half in HALF_DTYPES if half in computed and verdict_on(half, device, check) == SLOW]
    return tuple(Message("train.emulated", dtype=half, device=device.upper()) for half in slow)
