"""The prompt of a conversation's next turn, in pieces that the prefix cache can share with earlier turns.

A prompt with a history is read in pieces, each up to where an earlier turn's answer began, and the rest. The keys and
values of a piece depend only on it and on the pieces before it. So a turn that finds a piece in the cache continues
from it with the same numbers, to the bit, as one that reads the whole prompt: the arithmetic is the same, in any dtype.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from xcomposer_ui.models.cache import PreallocatedCache

History = Sequence[tuple[str, str]]
"""Earlier (question, answer) pairs, oldest first."""

Position = int | str
"""One position of the prompt: a token's id, or the digest of the picture that it belongs to."""


@dataclass(frozen=True)
class PictureSource:
    """A picture's digest, and a function that computes its embeddings, (1, image tokens, width)."""

    digest: str
    embeddings: Callable[[], Tensor]


@dataclass(frozen=True)
class PromptTurn:
    """A prompt, ready for the model.

    inputs: as `prompt_inputs` returns them. positions: one for each token. ends: where its pieces end, ascending; the
    last is the prompt's length. pictures: digest -> embeddings.
    """

    inputs: dict[str, Tensor]
    positions: tuple[Position, ...]
    ends: tuple[int, ...]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.positions)


def digest_of(image: Image.Image, settings: Mapping[str, Any]) -> str:
    """A hash of all that a picture's embeddings depend on: its size, its pixels, and its `preprocess` settings."""
    head = f"{image.mode} {image.size} {settings}".encode()
    return hashlib.blake2b(head + image.tobytes(), digest_size=16).hexdigest()


def common_length(turn: PromptTurn, positions: Sequence[Position], ends: Sequence[int]) -> int:
    """How many tokens of `turn` are in a cache of the prompt `positions`, read in pieces that end at `ends`.

    Whole pieces only, the same in both and the same before them; never the whole turn: its last piece has the logits.
    """
    length = 0
    for own, kept in zip(turn.ends[:-1], ends, strict=False):
        if own != kept or tuple(turn.positions[length:own]) != tuple(positions[length:own]):
            break
        length = own
    return length


class PromptTurns:
    """The part of a `FamilyModel` that makes a `PromptTurn`, and reads all of it but its last piece."""

    @torch.no_grad()
    def next_turn(
        self,
        tokenizer: Any,
        query: str,
        picture: PictureSource | None = None,
        history: History = (),
        kept: Callable[[str], Tensor | None] = lambda digest: None,
    ) -> PromptTurn:
        """The prompt of `query` after `history`. kept: digest -> a picture's embeddings, None where not cached."""
        if picture is None:
            inputs = self.prompt_inputs(tokenizer, query, None, history)
            positions: list[Position] = inputs["input_ids"][0].tolist()
            return PromptTurn(inputs, tuple(positions), self._ends(tokenizer, positions, bool(history)))
        known = kept(picture.digest)
        embeddings = picture.embeddings() if known is None else known
        parts = self.prompt_parts(tokenizer, query, history, pictures=1)
        inputs = self.joined_embeddings(parts, [embeddings])
        positions = [*parts[0], *[picture.digest] * embeddings.shape[1], *parts[1]]
        positions = positions[: inputs["inputs_embeds"].shape[1]]
        ends = self._ends(tokenizer, positions, bool(history))
        return PromptTurn(inputs, tuple(positions), ends, {picture.digest: embeddings})

    @torch.no_grad()
    def read_pieces(self, turn: PromptTurn, cache: PreallocatedCache) -> None:
        """Read the prompt into `cache`, piece by piece from where that ends; the last piece is left to `generate`."""
        for end in turn.ends[:-1]:
            start = cache.get_seq_length()
            if end <= start:
                continue
            if "input_ids" in turn.inputs:
                embeds = self.get_input_embeddings()(turn.inputs["input_ids"][:, start:end])
                self.hidden_states(embeds, None, None, cache)
            else:
                pictured = any(isinstance(position, str) for position in turn.positions[start:end])
                im_mask = turn.inputs["im_mask"][:, start:end] if pictured else None
                self.hidden_states(turn.inputs["inputs_embeds"][:, start:end], im_mask, None, cache)

    def _ends(self, tokenizer: Any, positions: Sequence[Position], continued: bool) -> tuple[int, ...]:
        """Where the pieces end: behind each `answer_prefix`, and at the prompt's end."""
        length = len(positions)
        # Beyond the model's trained length the base of the positions depends on the whole length: read in one piece.
        if not continued or self.answer_prefix is None or length > self.config.max_position_embeddings:
            return (length,)
        prefix: list[int] = tokenizer(self.answer_prefix, add_special_tokens=False).input_ids
        first, size = prefix[0], len(prefix)
        found = [
            n + size
            for n, position in enumerate(positions)
            if position == first and list(positions[n : n + size]) == prefix and n + size < length
        ]
        return (*found, length)
