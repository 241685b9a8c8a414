"""The request of a fine-tuning: one frozen record, checked where it is made, whose fields carry limits and flags."""

from __future__ import annotations

from dataclasses import dataclass

from xcomposer_ui.core.errors import UserError, check_choice
from xcomposer_ui.core.request import check_settings, setting
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.finetuning.recipes import OPTIMIZERS, RECIPES, recipe_named

QUESTION_KINDS = ("count", "colour", "shape", "place", "presence", "relation", "description")
"""The kinds of questions about drawn shapes, by the names that the training data has for them."""

QUESTIONS_PER_PICTURE = 4

HELD_OUT_QUESTIONS = 100
"""Questions of the accuracy before and after, on pictures that are not trained on."""


@dataclass(frozen=True)
class FinetuningRequest:
    """The embedded model, fine-tuned for some steps under each of some recipes.

    What it learns, it has never done: to answer the English questions of one kind in Chinese. Everything but the vision
    tower is trained, as the family is usually tuned.

    recipes: names of RECIPES or MISTAKES, in the order in which they run. kind: one of QUESTION_KINDS.
    optimizer: a name of OPTIMIZERS. device: one of DEVICES; None for the lab's setting.
    batch: pictures of a step, each with QUESTIONS_PER_PICTURE questions.
    loss_divisor: what the loss is divided by before the backward pass; larger, more gradients underflow.
    epsilon: AdamW's, which is added to the denominator of an update.
    with_accuracy: whether the held-out questions are asked before and after, which takes as long as several steps.

    Raises UserError where a field is invalid or out of its range.
    """

    recipes: tuple[str, ...] = tuple(RECIPES)
    kind: str = "colour"
    optimizer: str = "adamw"
    device: str | None = None
    with_accuracy: bool = True
    steps: int = setting(
        60, lowest=1, highest=500, step=1, flag="--steps", help="optimizer steps of each recipe", label="train.steps"
    )
    batch: int = setting(
        2, lowest=1, highest=32, step=1, flag="--batch", help="pictures of a step, with four questions each",
        label="train.batch",
    )  # fmt: skip
    learning_rate: float = setting(
        5e-5, lowest=1e-7, highest=1, flag="--lr", help="the optimizer's learning rate", label="train.learning_rate"
    )
    loss_divisor: float = setting(
        1.0, lowest=1, highest=1e9, flag="--loss-divisor", label="train.loss_divisor",
        help="divide the loss by this before the backward pass: more gradients underflow",
    )  # fmt: skip
    epsilon: float = setting(
        1e-8, lowest=1e-12, highest=1, flag="--epsilon", help="AdamW's, in the denominator of an update",
        label="train.epsilon",
    )  # fmt: skip
    seed: int = setting(
        0, lowest=0, highest=2**63 - 1, flag="--seed", help="of pictures and questions", label="train.seed"
    )

    def __post_init__(self) -> None:
        if not self.recipes:
            raise UserError("no_recipe")
        for name in self.recipes:
            recipe_named(name)
        check_choice("kind", self.kind, QUESTION_KINDS)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("device", self.device or "auto", DEVICES)
        check_settings(self)
