"""The output of `plan --train`: what fits which card, then each recipe's memory by each method."""

from __future__ import annotations

from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.training_answer import answers, method_name
from xcomposer_ui.planning.training_plan import RecipePlan, TrainingPlan


def as_text(plan: TrainingPlan) -> str:
    """The plan as tables for the terminal."""
    request = plan.request
    tower = "trained" if request.trains_tower else "frozen"
    lines = [
        f"{plan.model}: {plan.parameters / 1e9:.2f} billion parameters; {plan.sequence_tokens} tokens an example "
        f"({plan.image_tokens} of the picture), batch {request.batch}, {request.optimizer}, vision tower {tower}",
        "",
        *(f"{answer.memory}: {answer.sentence}" for answer in answers(plan, "en")),
    ]
    for method in plan.methods:
        lines += ["", method_name(method, "en"), _head(), *(_line(entry) for entry in plan.by(method))]
    return "\n".join([*lines, "", f"planned in {plan.planned_sec:.1f} s; GiB are 1,073,741,824 bytes"])


def _head() -> str:
    return (
        f"{'recipe':<26}{'weights':>10}{'gradients':>11}{'optimizer':>11}{'activations':>13}{'total':>10}  "
        f"{'peak in':<9}{'on card':>10}  smallest card"
    )


def _line(entry: RecipePlan) -> str:
    card = next((name for name, enough in entry.fits.items() if enough), "none")
    sizes = (
        entry.weights_bytes, entry.gradients_bytes, entry.optimizer_bytes, entry.activations_bytes, entry.total_bytes,
        entry.on_card.total_bytes,
    )  # fmt: skip
    weights, gradients, optimizer, activations, total, on_card = (joined(memory(size)) for size in sizes)
    return (
        f"{entry.recipe:<26}{weights:>10}{gradients:>11}{optimizer:>11}{activations:>13}{total:>10}  "
        f"{entry.peak_phase:<9}{on_card:>10}  {card}"
    )
