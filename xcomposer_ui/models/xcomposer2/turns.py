"""A conversation's next turn: what its prompt has in common with an earlier turn's need not be computed again.

A prompt with a history is read in pieces, each as far as an earlier turn's prompt went (up to where its answer
began), and the rest. The keys and values of a piece depend on it and on the pieces before it alone. So a turn that
finds a piece in the cache continues from it with the same numbers, to the bit, as one that reads the whole prompt:
kept or not, the arithmetic is the same, in any dtype.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from xcomposer_ui.models.xcomposer2.cache import PreallocatedCache
from xcomposer_ui.models.xcomposer2.prompt import History
from xcomposer_ui.models.xcomposer2.tokenizer import TURN_START

Position = int | str
"""What stands at a place of the prompt: a token's id, or the picture that it belongs to, by its digest."""


@dataclass(frozen=True)
class PictureSource:
    """A picture by its digest, and how to come by its embeddings (1, image tokens, width) where nobody kept them."""

    digest: str
    embeddings: Callable[[], Tensor]


@dataclass(frozen=True)
class PromptTurn:
    """A prompt, ready for the model.

    inputs: as `prompt_inputs` gives them. positions: what stands at each place. ends: where its pieces end, ascending;
    the last is the prompt's length. pictures: digest -> embeddings.
    """

    inputs: dict[str, Tensor]
    positions: tuple[Position, ...]
    ends: tuple[int, ...]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.positions)


def digest_of(image: Image.Image, hd_num: int | None = None) -> str:
    """What tells a picture's embeddings from every other's: its size and pixels, and the most tiles of it, hashed."""
    head = f"{image.mode} {image.size} {hd_num}".encode()
    return hashlib.blake2b(head + image.tobytes(), digest_size=16).hexdigest()


def common_length(turn: PromptTurn, positions: Sequence[Position], ends: Sequence[int]) -> int:
    """How many tokens of `turn` a cache of the prompt `positions`, read in pieces that end at `ends`, can give.

    Whole pieces only, the same in both and the same before them; never the whole turn: its last piece has the logits.
    """
    length = 0
    for own, kept in zip(turn.ends[:-1], ends, strict=False):
        if own != kept or tuple(turn.positions[length:own]) != tuple(positions[length:own]):
            break
        length = own
    return length


class TurnMixin:
    """What makes a `Turn`, and reads all but its last piece."""

    @torch.no_grad()
    def next_turn(
        self,
        tokenizer: Any,
        query: str,
        scene: PictureSource | None = None,
        history: History = (),
        kept: Callable[[str], Tensor | None] = lambda digest: None,
    ) -> PromptTurn:
        """The prompt of `query` after `history`. kept: a picture's embeddings by its digest, None where unknown."""
        if scene is None:
            inputs = self.prompt_inputs(tokenizer, query, None, history)
            positions: list[Position] = inputs["input_ids"][0].tolist()
            return PromptTurn(inputs, tuple(positions), self._ends(tokenizer, positions, bool(history)))
        known = kept(scene.digest)
        embeddings = scene.embeddings() if known is None else known
        parts = self.prompt_parts(tokenizer, query, history, pictures=1)
        inputs = self.joined_embeddings(parts, [embeddings])
        places: list[Position] = [*parts[0], *[scene.digest] * embeddings.shape[1], *parts[1]]
        places = places[: inputs["inputs_embeds"].shape[1]]
        ends = self._ends(tokenizer, places, bool(history))
        return PromptTurn(inputs, tuple(places), ends, {scene.digest: embeddings})

    @torch.no_grad()
    def read_pieces(self, turn: PromptTurn, cache: PreallocatedCache) -> None:
        """Put the prompt into `cache` from where that ends, piece by piece, all but the last; `generate` reads that."""
        for end in turn.ends[:-1]:
            start = cache.get_seq_length()
            if end <= start:
                continue
            if "input_ids" in turn.inputs:
                embeds = self.model.tok_embeddings(turn.inputs["input_ids"][:, start:end])
                self.model(embeds, None, None, cache)
            else:
                pictured = any(isinstance(place, str) for place in turn.positions[start:end])
                im_mask = turn.inputs["im_mask"][:, start:end] if pictured else None
                self.model(turn.inputs["inputs_embeds"][:, start:end], im_mask, None, cache)

    def _ends(self, tokenizer: Any, positions: Sequence[Position], continued: bool) -> tuple[int, ...]:
        """Behind each turn's opening of the model's answer, and at the prompt's end."""
        length = len(positions)
        # Past what the model was made for, the base of the positions hangs on the whole length: read in one piece.
        if not continued or length > self.config.max_position_embeddings:
            return (length,)
        opening: list[int] = tokenizer(f"{TURN_START}assistant\n", add_special_tokens=False).input_ids
        first, size = opening[0], len(opening)
        found = [
            n + size
            for n, place in enumerate(positions)
            if place == first and list(positions[n : n + size]) == opening and n + size < length
        ]
        return (*found, length)
