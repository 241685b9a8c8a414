"""A question for the model with its settings, and the checks that it must pass before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.families import control_tokens, image_marks

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Question:
    """One question about one picture, or the next turn of a conversation.

    image: an upright RGB picture, or None for text only.
    history: earlier (question, answer) pairs, oldest first.
    temperature: 0 is greedy; above, answers are sampled (`top_p` in 0..1 counts only then).
    repetition_penalty: 1 is none.
    hd_num: the most tiles that a tiled member cuts the picture into, 1..96; None for the member's own.
    """

    text: str
    image: Image | None = None
    history: tuple[tuple[str, str], ...] = ()
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 0.8
    repetition_penalty: float = 1.0
    seed: int = 0
    hd_num: int | None = None


LONGEST_QUESTION = 8000
"""Characters. The family's prompts end at 4096 tokens, a picture takes up to 1225, a token a character or more."""

MOST_NEW_TOKENS = 4096

MOST_TILES = 96
"""Of one picture. The published members take 24 and 55 unless told otherwise; each tile is hundreds of tokens."""


def checked_question(question: Question) -> Question:
    """`question` if a model can be asked it. Raises UserError with what is wrong and what to do."""
    text = question.text
    if not text.strip():
        raise UserError("empty_question")
    if len(text) > LONGEST_QUESTION:
        raise UserError("long_question", length=len(text), longest=LONGEST_QUESTION)
    for token in control_tokens():
        if token in text:
            raise UserError("control_token", token=token)
    marks = sum(text.count(mark) for mark in image_marks())
    if marks > (question.image is not None):
        raise UserError("image_marks", marks=marks, pictures=int(question.image is not None))
    for name, value, lowest, highest in (
        ("max_new_tokens", question.max_new_tokens, 1, MOST_NEW_TOKENS),
        ("temperature", question.temperature, 0, 5),
        ("top_p", question.top_p, 0.01, 1),
        ("repetition_penalty", question.repetition_penalty, 0.5, 5),
        ("seed", question.seed, 0, 2**63 - 1),
        ("hd_num", question.hd_num, 1, MOST_TILES),
    ):
        if value is not None and not lowest <= value <= highest:  # NaN is outside too
            raise UserError("out_of_range", name=name, value=value, lowest=lowest, highest=highest)
    return question
