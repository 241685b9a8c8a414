"""A KV cache with spare capacity: new tokens are written in place instead of copying all earlier ones."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

CACHE_NAME = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""transformers' name for the cache in a model's arguments and outputs: `cache` since 5.24, `past_key_values` before."""

GROWTH = 256
"""Tokens by which the capacity grows; a growth copies one layer's keys or values once."""


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
