"""The text of an answer from its ids, whole or as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNFINISHED = "\ufffd"
"""The replacement character that the bytes of an incomplete character decode to."""


def answer_text(tokenizer: Any, ids: Sequence[int], turn_end: str | None) -> str:
    """The text of the generated `ids` up to `turn_end`, without special tokens and incomplete characters."""
    return _visible(_decoded(tokenizer, ids), turn_end)


class GrowingAnswer:
    """`answer_text` for ids that grow between calls: each id is decoded a few times, not once per call.

    How an id is decoded depends on those before it (a first space is dropped, bytes join to a character), so new ids
    are decoded together with some earlier ones, whose text is then cut off.
    """

    def __init__(self, tokenizer: Any, turn_end: str | None) -> None:
        self._tokenizer, self._turn_end = tokenizer, turn_end
        self._text = ""
        self._from = self._done = 0  # ids decoded again each time: from .. done; those from done on are new

    def text(self, ids: Sequence[int]) -> str:
        """The answer so far. `ids`: those of the last call and any that came since."""
        end = len(ids)
        before = _decoded(self._tokenizer, ids[self._from : self._done])
        added = _decoded(self._tokenizer, ids[self._from : end])[len(before) :]
        if not added or added.endswith(UNFINISHED):
            return _visible(self._text + added, self._turn_end)
        self._text += added
        # A piece decodes the same at the start of a text only if it begins with at most one space.
        if not added.removeprefix(" ")[:1].isspace():
            self._from = self._done
        self._done = end
        return _visible(self._text, self._turn_end)


def token_texts(tokenizer: Any, ids: Sequence[int], turn_end: str | None) -> tuple[str, ...]:
    """The text that each token adds to the answer, without special tokens; joined they are the answer."""
    whole = [answer_text(tokenizer, ids[: n + 1], turn_end) for n in range(len(ids))]
    # A character of several tokens belongs to the token that completes it.
    return tuple(text[len(before) :] for before, text in zip(["", *whole], whole, strict=False))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True) if len(ids) else ""
    return text


def _visible(text: str, turn_end: str | None) -> str:
    return (text.split(turn_end)[0] if turn_end else text).rstrip(UNFINISHED)
