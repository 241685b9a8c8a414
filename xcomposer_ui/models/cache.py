"""A KV cache with spare capacity: a new token is written in place, where concatenation would copy all earlier ones."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

CACHE_NAME = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""transformers' name for the cache among a model's arguments and outputs: `cache` since 5.24, before `past_key_values`.
"""

GROWTH = 256
"""Tokens by which the capacity grows; a growth copies one layer's keys or values once."""


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (B, heads, T, head_dim) of one layer, the first part of a longer tensor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rooms: list[Tensor | None] = [None, None]
        self._shown: list[Tensor | None] = [None, None]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values, spare capacity included."""
        return sum(room.nbytes for room in self._rooms if room is not None)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values of new tokens; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._longer(0, self.keys, key_states)
        self.values = self._longer(1, self.values, value_states)
        return self.keys, self.values

    def crop(self, tokens: int) -> None:
        """Remove the last tokens, -`tokens` of them; above 0, keep the first `tokens`. The capacity stays as it is.

        Releases of transformers differ in which of the two they pass.
        """
        keys, values, length = self.keys, self.values, self.get_seq_length()
        kept = tokens if tokens > 0 else length + tokens
        if keys is not None and values is not None and kept < length:
            self.keys, self.values = self._shortened(0, keys, kept), self._shortened(1, values, kept)

    def _shortened(self, which: int, held: Tensor, length: int) -> Tensor:
        shown = held[..., :length, :]
        if held is self._shown[which]:
            self._shown[which] = shown
        return shown

    def _longer(self, which: int, held: Tensor, new: Tensor) -> Tensor:
        length = held.shape[-2] if held.numel() else 0
        total = length + new.shape[-2]
        room = self._rooms[which]
        if length and held.dtype != new.dtype:  # concatenation promotes, where writing would cast in silence
            return torch.cat((held, new), dim=-2)
        # Beam search, cropping and the like put other tensors in place of the one shown: those are taken over.
        if room is None or held is not self._shown[which] or total > room.shape[-2]:
            room = new.new_empty((*new.shape[:-2], total + GROWTH, new.shape[-1]))
            if length:
                room[..., :length, :] = held
        room[..., length:total, :] = new
        shown = room[..., :total, :]
        self._rooms[which], self._shown[which] = room, shown
        return shown


class PreallocatedCache(Cache):  # type: ignore[misc]
    """The cache that `generate` and the model take as CACHE_NAME."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=PreallocatedLayer)

    @property
    def nbytes(self) -> int:
        """Bytes of all layers' keys and values, spare capacity included."""
        return sum(layer.nbytes for layer in self.layers if isinstance(layer, PreallocatedLayer))
