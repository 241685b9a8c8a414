"""How a conversation about a picture becomes the family's prompt.

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
    """The whole prompt, up to where the model's answer starts."""
    text = f"{TURN_START}system\n{meta_instruction}{TURN_END}\n" if meta_instruction else ""
    for asked, answered in history:
        text += f"{TURN_START}user\n{asked}{TURN_END}\n{TURN_START}assistant\n{answered}{TURN_END}\n"
    return text + f"{TURN_START}user\n{query}{TURN_END}\n{TURN_START}assistant\n"


def with_marks(
    query: str, history: History, pictures: int, leave_out: bool = False
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """`query` and `history` with one mark a picture: where none stands, in front of the conversation's first question.

    Put there, a conversation's prompt only ever grows at its end. leave_out: check only, and add none.
    Raises ValueError where there are marks, and not as many as pictures.
    """
    turns = [(asked, answered) for asked, answered in history]
    marks = query.count(IMAGE_MARK) + sum(asked.count(IMAGE_MARK) for asked, _ in turns)
    if marks == pictures:
        return query, tuple(turns)
    if marks:
        raise ValueError(f"{pictures} pictures were given, and {IMAGE_MARK} stands {marks} times in the questions")
    if leave_out:
        return query, tuple(turns)
    if turns:
        return query, ((IMAGE_MARK * pictures + turns[0][0], turns[0][1]), *turns[1:])
    return IMAGE_MARK * pictures + query, ()
