"""The view of a fine-tuning's plan: what fits which card, an overview, and each method's figures."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from xcomposer_ui.core.messages import Message, text
from xcomposer_ui.core.units import joined, memory, seconds
from xcomposer_ui.planning.training_answer import answers, method_name, recipe_name
from xcomposer_ui.planning.training_plan import RecipePlan, TrainingPlan
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.charts import MemoryBar, memory_bars

PARTS = ("weights", "gradients", "optimizer", "activations")
COLUMNS = (*PARTS, "total", "peak", "card", "smallest")


def training_plan_view(plan: TrainingPlan, about: str, line: tuple[int, str] | None, language: str) -> Markup:
    """`plan`, the answer first. about: the model's size. line: (bytes, label) of the host's memory, if it counts."""
    by_method = [plan.by(method) for method in plan.methods]
    return render(
        "training_plan",
        language,
        plan=plan,
        about=f"{about} · {_about(plan, language)}",
        answers=tuple(answers(plan, language)),
        methods=[method_name(method, language) for method in plan.methods],
        overview=[(recipe_name(entries[0].recipe, language), entries) for entries in zip(*by_method, strict=True)],
        smallest=_smallest,
        details=[
            (
                method_name(method, language),
                _chart(entries, line, language),
                [(recipe_name(e.recipe, language), e.recipe, _figures(e, language)) for e in entries],
            )
            for method, entries in zip(plan.methods, by_method, strict=True)
        ],
        heads=[Message("train.recipe"), *(Message(f"plan.column.{name}") for name in COLUMNS)],
    )


def _about(plan: TrainingPlan, language: str) -> str:
    request = plan.request
    return text(
        "plan.train.summary",
        language,
        tokens=plan.sequence_tokens,
        image=plan.image_tokens,
        batch=request.batch,
        optimizer=text(f"train.{request.optimizer}", language),
        tower=text("plan.train.tower_trained" if request.trains_tower else "plan.train.tower_frozen", language),
        sec=joined(seconds(plan.planned_sec)),
    )


def _smallest(entry: RecipePlan) -> str | None:
    """The name of the smallest card that holds it."""
    return next((card for card, enough in entry.fits.items() if enough), None)


def _chart(entries: Sequence[RecipePlan], line: tuple[int, str] | None, language: str) -> Markup:
    bars = []
    for entry in entries:
        peak = entry.phases[entry.peak_phase]
        parts = entry.weights_bytes, peak.gradient_bytes, entry.optimizer_bytes, peak.activation_bytes
        bars.append(MemoryBar(recipe_name(entry.recipe, language), parts))
    legend = [text(f"plan.{part}", language) for part in PARTS]
    return memory_bars(text("plan.train.peak", language), legend, bars, line)


def _figures(entry: RecipePlan, language: str) -> list[str | Message]:
    sizes = (
        entry.weights_bytes, entry.gradients_bytes, entry.optimizer_bytes, entry.activations_bytes, entry.total_bytes,
    )  # fmt: skip
    return [
        *(joined(memory(size)) for size in sizes),
        Message(f"plan.column.{entry.peak_phase}"),
        joined(memory(entry.on_card.total_bytes)),
        _smallest(entry) or text("plan.no_card", language),
    ]
