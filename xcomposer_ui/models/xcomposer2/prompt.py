"""The family's prompt format.

A turn starts with [UNUSED_TOKEN_146] and its role, and ends with [UNUSED_TOKEN_145]; `<ImageHere>` marks where a
picture's embeddings go.
"""

from __future__ import annotations

from xcomposer_ui.core.families.xcomposer2 import IMAGE_MARK, TURN_END, TURN_START
from xcomposer_ui.models.turns import History

META_INSTRUCTION = (
    "You are InternLM-XComposer (浦语·灵笔), a multimodal assistant that Shanghai AI Laboratory (上海人工智能实验室) "
    "developed to be helpful, honest and harmless.\n"
    "- You understand pictures and text, and answer in the language the user writes in, English or Chinese.\n"
    "- Where a picture is given, you base the answer on what it shows."
)


def prompt_text(query: str, history: History = (), meta_instruction: str = "") -> str:
    """The whole prompt, up to the start of the model's answer."""
    text = f"{TURN_START}system\n{meta_instruction}{TURN_END}\n" if meta_instruction else ""
    for question, answer in history:
        text += f"{TURN_START}user\n{question}{TURN_END}\n{TURN_START}assistant\n{answer}{TURN_END}\n"
    return text + f"{TURN_START}user\n{query}{TURN_END}\n{TURN_START}assistant\n"


def with_marks(
    query: str, history: History, pictures: int, leave_out: bool = False
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """`query` and `history` with one mark per picture, added in front of the first question if there are none.

    So a conversation's next prompt differs only at its end. leave_out: only check the marks, and add none.
    Raises ValueError if there are marks, but not as many as pictures.
    """
    turns = tuple((question, answer) for question, answer in history)
    marks = query.count(IMAGE_MARK) + sum(question.count(IMAGE_MARK) for question, _ in turns)
    if marks not in (0, pictures):
        raise ValueError(f"{pictures} pictures were given, and {IMAGE_MARK} stands {marks} times in the questions")
    if marks == pictures or leave_out:
        return query, turns
    if turns:
        return query, ((IMAGE_MARK * pictures + turns[0][0], turns[0][1]), *turns[1:])
    return IMAGE_MARK * pictures + query, ()
