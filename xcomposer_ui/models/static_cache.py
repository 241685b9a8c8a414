"""A KV cache whose tensors keep their place and size while tokens are decoded, as a CUDA graph needs it.

A prompt is read into a `PreallocatedCache` as ever. `DecodingCache` is what `generate` takes instead of it where
decoding steps are computed on a `StaticCache`: the first step copies the prompt's keys and values there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from xcomposer_ui.models.cache import GROWTH, PreallocatedCache

SMALLEST = 512
"""Tokens of the smallest static cache; each further size is twice the one before."""


def capacity_for(tokens: int, longest: int) -> int | None:
    """Tokens of the static cache for a prompt of `tokens`, with room for an answer of usual length.

    None where not even the next token fits into `longest`, the positions of which the model was trained.
    """
    if tokens >= longest:
        return None
    size = SMALLEST
    while size < tokens + GROWTH:
        size *= 2
    return min(size, longest)


def capacities_for(prompt: int, new_tokens: int, longest: int) -> tuple[int, ...]:
    """The static caches that follow one another in a run that generates `new_tokens`; () where none is used."""
    found: list[int] = []
    size = capacity_for(prompt, longest) if new_tokens > 1 else None  # the first token is the prompt's
    while size is not None:
        found.append(size)
        if prompt + new_tokens - 1 <= size:  # the last token is never an input
            break
        size = capacity_for(size, longest)
    return tuple(found)


def layer_tensors(cache: PreallocatedCache) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values (B, heads, T, head_dim) by layer."""
    layers: list[Any] = cache.layers
    return [layer.keys for layer in layers], [layer.values for layer in layers]


class StaticCache:
    """Keys and values (B, heads, capacity, head_dim) by layer, of one decoding step at a time.

    position: (1,) index of the token that the step adds. starts: (B, 1) index of each row's first token, after padding.
    Both are tensors, so that a step's kernels read them where they are. What lies behind `position` is finite.
    """

    def __init__(self, source: PreallocatedCache, capacity: int) -> None:
        """With layers like those of `source`, which has at least one token."""
        self.capacity = capacity
        self.keys, self.values = (
            [t.new_zeros((*t.shape[:2], capacity, t.shape[3])) for t in tensors] for tensors in layer_tensors(source)
        )
        device = self.keys[0].device
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.starts = torch.zeros((self.keys[0].shape[0], 1), dtype=torch.long, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(t.nbytes for t in (*self.keys, *self.values))

    def matches(self, source: PreallocatedCache, capacity: int) -> bool:
        """Whether this is what `StaticCache(source, capacity)` would make."""
        first: Any = source.layers[0]
        keys, own = first.keys, self.keys[0]
        return capacity == self.capacity and own.dtype == keys.dtype and bool(own.shape[:2] == keys.shape[:2])

    def load(self, keys: list[Tensor], values: list[Tensor], tokens: int, starts: Tensor) -> None:
        """Take over the first `tokens` of keys and values by layer; the rest is zero, as the mask's zeros times it."""
        for own, given in zip((*self.keys, *self.values), (*keys, *values), strict=True):
            own[:, :, :tokens] = given[:, :, :tokens]
            own[:, :, tokens:].zero_()
        self.starts.copy_(starts)

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Write one token's keys and values (B, heads, 1, head_dim) at `position`; returns all of the layer's."""
        self.keys[layer].index_copy_(2, self.position, keys)
        self.values[layer].index_copy_(2, self.position, values)
        return self.keys[layer], self.values[layer]

    def mask(self) -> Tensor:
        """(B, 1, 1, capacity) bool, True at the tokens that the step attends to."""
        index = torch.arange(self.capacity, device=self.position.device)
        return ((index <= self.position) & (index >= self.starts))[:, None, None]


class DecodingCache(PreallocatedCache):
    """The cache of a prompt, as `generate` takes it, whose decoding steps `decode` computes.

    steps: tokens that are in a static cache and not in this one.
    """

    def __init__(self, prompt: PreallocatedCache, decode: DecodeStep) -> None:
        super().__init__()
        self.layers = prompt.layers  # the same list: what is read of the prompt is `prompt`'s
        self.steps = 0
        self.decode = decode

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens in this cache and in the static one."""
        return int(super().get_seq_length(layer_idx)) + self.steps

    def decodes(self, embeds: Tensor) -> bool:
        """Whether `embeds` (B, T, width) are a step of decoding, not a prompt."""
        return embeds.shape[1] == 1 and self.get_seq_length() > 0


DecodeStep: TypeAlias = Callable[[DecodingCache, Tensor, Tensor | None], Tensor]
"""(cache, embeddings (B, 1, width), attention mask as `forward` takes it) to final hidden states (B, 1, width)."""
