"""KV caches: one with spare capacity, in which new tokens are written in place instead of copying all earlier ones, and
one whose tensors keep their place and size while tokens are decoded, as a CUDA graph needs it.

A prompt is read into a `PreallocatedCache`. `DecodingCache` is what `generate` takes instead of it where decoding steps
are computed on a `StaticCache`: the first step copies the prompt's keys and values there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

CACHE_NAME = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""transformers' name for the cache in a model's arguments and outputs: `cache` since 5.24, `past_key_values` before."""

GROWTH = 256
"""Tokens by which the capacity grows; a growth copies one layer's keys or values once."""

SMALLEST = 512
"""Tokens of the smallest static cache; each further size is twice the one before."""


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (B, heads, T, head_dim) of one layer, each a view of the first part of a longer buffer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffers: list[Tensor | None] = [None, None]  # of keys and values
        self._views: list[Tensor | None] = [None, None]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values, spare capacity included."""
        return sum(buffer.nbytes for buffer in self._buffers if buffer is not None)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values of new tokens; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._appended(0, self.keys, key_states)
        self.values = self._appended(1, self.values, value_states)
        return self.keys, self.values

    def crop(self, tokens: int) -> None:
        """Remove the last -`tokens` tokens if `tokens` is below 0, else keep the first `tokens`. Keeps the capacity.

        Releases of transformers differ in which of the two they pass.
        """
        keys, values, length = self.keys, self.values, self.get_seq_length()
        kept = tokens if tokens > 0 else length + tokens
        if keys is not None and values is not None and kept < length:
            self.keys, self.values = self._shortened(0, keys, kept), self._shortened(1, values, kept)

    def _shortened(self, which: int, current: Tensor, length: int) -> Tensor:
        view = current[..., :length, :]
        if current is self._views[which]:
            self._views[which] = view
        return view

    def _appended(self, which: int, current: Tensor, new: Tensor) -> Tensor:
        length = current.shape[-2] if current.numel() else 0
        total = length + new.shape[-2]
        buffer = self._buffers[which]
        if length and current.dtype != new.dtype:  # concatenation promotes, where writing would cast silently
            return torch.cat((current, new), dim=-2)
        # Beam search and others replace the view by another tensor, which is copied into a new buffer.
        if buffer is None or current is not self._views[which] or total > buffer.shape[-2]:
            buffer = new.new_empty((*new.shape[:-2], total + GROWTH, new.shape[-1]))
            if length:
                buffer[..., :length, :] = current
        buffer[..., length:total, :] = new
        view = buffer[..., :total, :]
        self._buffers[which], self._views[which] = buffer, view
        return view


class PreallocatedCache(Cache):  # type: ignore[misc]
    """The cache that `generate` and the model take as CACHE_NAME."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=PreallocatedLayer)

    @property
    def nbytes(self) -> int:
        """Bytes of all layers' keys and values, spare capacity included."""
        return sum(layer.nbytes for layer in self.layers if isinstance(layer, PreallocatedLayer))


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

    def masked(self) -> Tensor:
        """(B, 1, 1, capacity) bool, True at the tokens that the step does not attend to."""
        index = torch.arange(self.capacity, device=self.position.device)
        return ((index > self.position) | (index < self.starts))[:, None, None]


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
