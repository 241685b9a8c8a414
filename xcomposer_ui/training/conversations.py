"""Training sequences of the language model: conversations about pictures as token ids, with the answers marked.

A picture's embeddings come before everything that is asked about it, so that one prefill serves all conversations
about that picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import sentencepiece

from xcomposer_ui.core.families.xcomposer2 import TURN_END, TURN_START
from xcomposer_ui.training.questions import KINDS, Turn, sample_turn
from xcomposer_ui.training.world import LANGUAGES, Rng, Scene

BOS = 1


@dataclass(frozen=True)
class Conversation:
    """A conversation as one sequence of tokens.

    picture: index into the batch; -1 for none.
    ids: token ids after the picture's tokens; all of them where there is no picture.
    spans: for each turn, start and end in `ids` of its answer, which includes the end-of-turn token.
    attention_targets: (position in `ids`, noun, things): predicting that token needs attention to these things of the
    scene, given by index and empty where the noun (0 the first of the question, 1 the second) refers to none.
    side_targets: (position in `ids`, index into SIDES): predicting that token needs the side of the relation.
    """

    picture: int
    turns: tuple[Turn, ...]
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    attention_targets: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    side_targets: tuple[tuple[int, int], ...] = ()


MIN_WEIGHTS = dict.fromkeys(KINDS, 0.04) | {"refusal": 0.08}
"""Smallest sampling weight of each kind. Off-topic questions vary the most, so they get more."""


@dataclass
class KindSampler:
    """Samples kinds of questions, those with the lowest accuracy most often.

    accuracy: moving average of the correct answers, 0..1, for each (kind, language).
    """

    accuracy: dict[tuple[str, str], float] = field(
        default_factory=lambda: {(kind, language): 0.0 for kind in KINDS for language in LANGUAGES}
    )

    def update(self, turn: Turn, correct: bool) -> None:
        """Add one answer to the moving average."""
        key = (turn.kind, turn.language)
        self.accuracy[key] += 0.002 * (correct - self.accuracy[key])

    def sample(self, rng: Rng, count: int) -> list[tuple[str, str]]:
        """Sample `count` pairs of kind and language."""
        keys = list(self.accuracy)
        weights = np.array([MIN_WEIGHTS[key[0]] + min(1 - self.accuracy[key], 0.5) for key in keys])
        return [keys[n] for n in rng.choice(len(keys), count, p=weights / weights.sum())]


class ConversationEncoder:
    """Tokenizes turns exactly as `chat` does.

    Args:
        tokenizer: file of the sentencepiece model.

    Raises:
        OSError: the file is not a sentencepiece model.
    """

    def __init__(self, tokenizer: Path) -> None:
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
        self.end_id = int(self.processor.piece_to_id(TURN_END))
        self.answer_prefix = self.encode(f"{TURN_END}\n{TURN_START}assistant\n")
        self.question_prefix = self.encode(f"\n{TURN_START}user\n")

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without the start token."""
        return list(self.processor.encode(text))

    def picture_prefix(self, system: str = "") -> list[int]:
        """Ids of the prompt before the picture's tokens."""
        first = f"{TURN_START}system\n{system}{TURN_END}\n" if system else ""
        return [BOS, *self.encode(f"{first}{TURN_START}user\n")]

    def encode_turns(self, picture: int, turns: Sequence[Turn]) -> Conversation:
        """Encode `turns` about `picture` (-1 for none) as one sequence."""
        ids = [BOS] if picture >= 0 else [BOS, BOS, *self.question_prefix[1:]]
        spans, attention, sides = [], [], []
        for n, turn in enumerate(turns):
            ids += [*(self.question_prefix if n else ()), *self.encode(turn.question), *self.answer_prefix]
            start = len(ids)
            ids += [*self.encode(turn.answer), self.end_id]
            answer = range(start, len(ids))
            spans.append((start, len(ids)))
            attention += [(at, noun, things) for noun, things in enumerate(turn.referents) for at in answer]
            attention += [(start + at, 0, (thing,)) for at, thing in self._mention_tokens(turn)]
            if turn.side is not None:
                sides += [(at, turn.side) for at in answer]
        return Conversation(picture, tuple(turns), tuple(ids), tuple(spans), tuple(attention), tuple(sides))

    def _mention_tokens(self, turn: Turn) -> Iterator[tuple[int, int]]:
        """For each token of the answer that belongs to a mention, its position in the answer and the thing."""
        pieces = [self.processor.id_to_piece(n) for n in self.encode(turn.answer)] if turn.mentions else []
        ends = list(accumulate(map(len, pieces)))
        at = 0
        for name, thing in turn.mentions:
            first = turn.answer.index(name, at)
            at = first + len(name)
            yield from ((n, thing) for n, end in enumerate(ends) if first < end <= at)


def sample_conversations(
    rng: Rng, encoder: ConversationEncoder, scenes: Sequence[Scene], sampler: KindSampler, turns: int
) -> list[Conversation]:
    """Sample `turns` questions about each scene, in conversations of one, two or four turns."""
    length = int(rng.choice((1, 2, 4), p=(0.55, 0.3, 0.15)))
    kinds = iter(sampler.sample(rng, len(scenes) * turns))
    result = []
    for n, scene in enumerate(scenes):
        for _ in range(turns // length):
            sampled = [sample_turn(rng, scene, *next(kinds)) for _ in range(length)]
            result.append(encoder.encode_turns(n, sampled))
    return result


def sample_without_picture(rng: Rng, encoder: ConversationEncoder, count: int) -> list[Conversation]:
    """Sample `count` conversations without a picture."""
    result = []
    for _ in range(count):
        sampled = [
            sample_turn(rng, None, KINDS[int(rng.integers(len(KINDS)))], LANGUAGES[int(rng.integers(2))])
            for _ in range(int(rng.integers(1, 3)))
        ]
        result.append(encoder.encode_turns(-1, sampled))
    return result
