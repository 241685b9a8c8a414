"""The prompt of a conversation's next turn, in pieces that the prefix cache can share with earlier turns.

The prefill of a prompt with a history is done in pieces: each ends where an earlier turn's answer began, the last at
the prompt's end. The keys and values of a piece depend only on it and on the pieces before it. So a turn that finds a
piece in the cache computes the same numbers, bit for bit and in any dtype, as one that computes the whole prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
class PromptTurn:
    """A prompt, ready for the model.

    inputs: as `prompt_inputs` returns them. positions: one for each token. ends: token counts at which the pieces end,
    ascending; the last is the prompt's length. pictures: digest -> embeddings.
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
    """The number of tokens of `turn` in a cache of the prompt `positions`, computed in pieces that end at `ends`.

    Only whole common pieces count, and never the last piece of `turn`, whose logits are needed.
    """
    length = 0
    for own, kept in zip(turn.ends[:-1], ends, strict=False):
        if own != kept or tuple(turn.positions[length:own]) != tuple(positions[length:own]):
            break
        length = own
    return length


class PromptTurns:
    """The part of a `FamilyModel` that makes a `PromptTurn` and computes all its pieces but the last."""

    @torch.no_grad()
    def next_turn(
        self,
        tokenizer: Any,
        query: str,
        picture: tuple[str, Tensor] | None = None,
        history: History = (),
    ) -> PromptTurn:
        """The prompt of `query` after `history`. picture: its digest and its embeddings, (1, image tokens, width)."""
        if picture is None:
            inputs = self.prompt_inputs(tokenizer, query, None, history)
            positions: list[Position] = inputs["input_ids"][0].tolist()
            return PromptTurn(inputs, tuple(positions), self._ends(tokenizer, positions, bool(history)))
        digest, embeddings = picture
        parts = self.prompt_parts(tokenizer, query, history, pictures=1)
        inputs = self.joined_embeddings(parts, [embeddings])
        positions = [*parts[0], *[digest] * embeddings.shape[1], *parts[1]]
        positions = positions[: inputs["inputs_embeds"].shape[1]]
        ends = self._ends(tokenizer, positions, bool(history))
        return PromptTurn(inputs, tuple(positions), ends, {digest: embeddings})

    @torch.no_grad()
    def read_pieces(self, turn: PromptTurn, cache: PreallocatedCache) -> None:
        """Add the prompt's pieces after the end of `cache` to it, except the last, which `generate` computes."""
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
        """The token counts at which the pieces end: after each `answer_prefix`, and at the prompt's end."""
        length = len(positions)
        # Beyond the model's trained length the RoPE base depends on the whole length, so there is only one piece.
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
