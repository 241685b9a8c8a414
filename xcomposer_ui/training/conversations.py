"""What the language model is trained on: conversations about pictures, as token ids with their answers marked.

A picture's embeddings stand in front of everything that is asked about it, so they are worked out once for all the
conversations about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import sentencepiece

from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END, TURN_START
from xcomposer_ui.training.questions import KINDS, Turn, turn_sample
from xcomposer_ui.training.world import LANGUAGES, Rng, Scene

BOS = 1


@dataclass(frozen=True)
class Conversation:
    """picture: index into the batch, -1 for none. ids: from the picture on, or from the start where there is none.

    spans: for each turn, where in `ids` its answer with the closing mark starts and ends.
    looks: where in `ids` a token stands that needs a look, which noun it is for (0 the first, 1 the second), and the
    things to look at, as indices into the scene's; none for something that is not there.
    sides: where in `ids` a token stands that needs the side that is asked about, and which of SIDES that is.
    """

    picture: int
    turns: tuple[Turn, ...]
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    looks: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    sides: tuple[tuple[int, int], ...] = ()


LEAST = dict.fromkeys(KINDS, 0.04) | {"refusal": 0.08}
"""What each kind's weight is at least. Of all that can be said to it the model hears little: so small talk has more."""


@dataclass
class Weights:
    """How often each (kind, language) is asked: the more, the rarer it is right."""

    right: dict[tuple[str, str], float] = field(
        default_factory=lambda: {(kind, language): 0.0 for kind in KINDS for language in LANGUAGES}
    )

    def note(self, turn: Turn, right: bool) -> None:
        """Take one answer into the running share of right ones."""
        key = (turn.kind, turn.language)
        self.right[key] += 0.002 * (right - self.right[key])

    def sample(self, rng: Rng, count: int) -> list[tuple[str, str]]:
        """`count` pairs of kind and language."""
        keys = list(self.right)
        wrong = np.array([LEAST[key[0]] + min(1 - self.right[key], 0.5) for key in keys])
        return [keys[n] for n in rng.choice(len(keys), count, p=wrong / wrong.sum())]


class Writer:
    """Turns into ids, exactly as `chat` would have them.

    Raises OSError where `tokenizer` is no sentencepiece model.
    """

    def __init__(self, tokenizer: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
        self.end = int(self.pieces.piece_to_id(TURN_END))
        self.to_answer = [*self.encode(f"{TURN_END}\n{TURN_START}assistant\n")]
        self.to_question = [*self.encode(f"\n{TURN_START}user\n")]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without the start token."""
        return list(self.pieces.encode(text))

    def before_picture(self, system: str = "") -> list[int]:
        """Ids of what stands in front of the picture."""
        first = f"{TURN_START}system\n{system}{TURN_END}\n" if system else ""
        return [BOS, *self.encode(f"{first}{TURN_START}user\n")]

    def conversation(self, picture: int, turns: Sequence[Turn]) -> Conversation:
        """`turns` about `picture` as one sequence."""
        ids = [BOS] if picture >= 0 else [BOS, BOS, *self.to_question[1:]]
        spans, looks, sides = [], [], []
        for n, turn in enumerate(turns):
            ids += [*(self.to_question if n else ()), *self.encode(turn.question), *self.to_answer]
            start = len(ids)
            ids += [*self.encode(turn.answer), self.end]
            spans.append((start, len(ids)))
            looks += [(at, noun, things) for noun, things in enumerate(turn.looks) for at in range(start, len(ids))]
            looks += [(start + at, 0, (thing,)) for at, thing in self._told(turn)]
            if turn.side is not None:
                sides += [(at, turn.side) for at in range(start, len(ids))]
        return Conversation(picture, tuple(turns), tuple(ids), tuple(spans), tuple(looks), tuple(sides))

    def _told(self, turn: Turn) -> Iterator[tuple[int, int]]:
        """For each token of the answer that names a thing, its place in the answer, and the thing."""
        pieces = [self.pieces.id_to_piece(n) for n in self.encode(turn.answer)] if turn.told else []
        ends = list(accumulate(map(len, pieces)))
        at = 0
        for name, thing in turn.told:
            first = turn.answer.index(name, at)
            at = first + len(name)
            yield from ((n, thing) for n, end in enumerate(ends) if first < end <= at)


def conversations_about(
    rng: Rng, writer: Writer, scenes: Sequence[Scene], weights: Weights, turns: int
) -> list[Conversation]:
    """`turns` questions about each scene, in conversations of one, two or four turns."""
    length = int(rng.choice((1, 2, 4), p=(0.55, 0.3, 0.15)))
    kinds = iter(weights.sample(rng, len(scenes) * turns))
    result = []
    for n, scene in enumerate(scenes):
        for _ in range(turns // length):
            asked = [turn_sample(rng, scene, *next(kinds)) for _ in range(length)]
            result.append(writer.conversation(n, asked))
    return result


def conversations_without(rng: Rng, writer: Writer, count: int) -> list[Conversation]:
    """`count` conversations without a picture."""
    result = []
    for _ in range(count):
        asked = [
            turn_sample(rng, None, KINDS[int(rng.integers(len(KINDS)))], LANGUAGES[int(rng.integers(2))])
            for _ in range(int(rng.integers(1, 3)))
        ]
        result.append(writer.conversation(-1, asked))
    return result
