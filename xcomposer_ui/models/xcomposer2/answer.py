"""The text of an answer from its ids, whole or as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END

UNFINISHED = "\ufffd"
"""What the bytes of a character decode to until the last of them is there."""


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The answer that generated `ids` spell: without special tokens, and without a character that is not whole yet."""
    return _shown(_decoded(tokenizer, ids))


class GrowingAnswer:
    """`answer_text` for ids that only grow: each is decoded a few times, not once for every look at the answer.

    What stands before an id decides how it is read (a first space is dropped, bytes join to a character), so new ids
    are decoded together with some that were decoded before, and the text of those is taken off again.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._text = ""
        self._from = self._done = 0  # ids decoded again each time: from .. done; those from done on are new

    def text(self, ids: Sequence[int]) -> str:
        """The answer so far. `ids`: those of the last call and any that came since."""
        end = len(ids)
        before = _decoded(self._tokenizer, ids[self._from : self._done])
        added = _decoded(self._tokenizer, ids[self._from : end])[len(before) :]
        if not added or added.endswith(UNFINISHED):
            return _shown(self._text + added)
        self._text += added
        # Only where a piece begins with a single space, or none, is it read alike at the start of a text.
        if not added.removeprefix(" ")[:1].isspace():
            self._from = self._done
        self._done = end
        return _shown(self._text)


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True) if len(ids) else ""
    return text


def _shown(text: str) -> str:
    return text.split(TURN_END)[0].rstrip(UNFINISHED)
