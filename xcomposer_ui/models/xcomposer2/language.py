"""InternLM2 with PLoRA: the language model of the family, under the checkpoints' own names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache

from xcomposer_ui.models.cache import StaticCache
from xcomposer_ui.models.generation import on_device
from xcomposer_ui.models.xcomposer2.configuration import InternLMXComposer2Config


@dataclass(frozen=True)
class Positions:
    """Inputs that all blocks of one forward share.

    cos, sin: (B, T, 1, 1, head_dim), in the dtype of the hidden states.
    image: flat indices of the image tokens among B·T, or None without any (always while decoding).
    mask: (B, 1, T, K) bool, True where a query attends to a key; None for plain causal attention.
    causal: if `mask` is None, whether attention is causal (prefill) or to all keys (one new token).
    masked: while decoding in a `StaticCache`, (B, 1, 1, K) bool, True at the keys that are left out; else None.
    """

    cos: Tensor
    sin: Tensor
    image: Tensor | None
    mask: Tensor | None
    causal: bool
    masked: Tensor | None = None


class PLoRALinear(nn.Linear):
    """y = W x, and at image tokens y += alpha / rank · B (A x): the family's partial low-rank adaptation."""

    def __init__(self, in_features: int, out_features: int, config: InternLMXComposer2Config) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.scale = config.plora_alpha / config.plora_rank
        self.Plora_A = nn.Linear(in_features, config.plora_rank, bias=False)
        self.Plora_B = nn.Linear(config.plora_rank, out_features, bias=False)

    def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        """x: (B, T, in). image: flat indices into B·T of the tokens that get the addition."""
        y = super().forward(x)
        if image is None:
            return y
        addition = self.Plora_B(self.Plora_A(x.flatten(0, 1)[image]))  # (image tokens, out)
        if self.scale != 1:  # it is 1 in every published member; skipping saves a tensor of the output's size
            addition = addition * self.scale
        flat = y.flatten(0, 1)  # a copy where a kernel's result cannot be viewed so; hence what is returned
        return flat.index_add_(0, image, addition).unflatten(0, y.shape[:2])


class RMSNorm(nn.Module):
    """RMS normalisation, computed in float32 (float64 for float64 inputs), cast back, then multiplied by the weight.

    Not by `F.rms_norm`: a trace would take the casts inside of it for autocast's.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def rotary_table(config: InternLMXComposer2Config, positions: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin, each (B, T, 1, 1, head_dim) in `config.rotary_dtype`, for `positions` (B, T) of `length` tokens.

    With dynamic scaling by a factor f, the base of a sequence longer than `max_position_embeddings` is
    base · (f · length / max − (f − 1)) ^ (d / (d − 2)), d the head's width.
    """
    d, base = config.head_dim, config.rope_base
    longest, factor = config.max_position_embeddings, config.rope_dynamic_factor
    if factor is not None and length > longest:
        base = base * (factor * length / longest - (factor - 1)) ** (d / (d - 2))
    exponents = torch.arange(0, d, 2, dtype=torch.float32, device=positions.device) / d
    frequencies = 1.0 / base**exponents
    angles = positions[..., None, None, None].float() * frequencies  # (B, T, 1, 1, d / 2)
    angles = torch.cat((angles, angles), dim=-1)
    stored = getattr(torch, config.rotary_dtype)
    return angles.cos().to(stored), angles.sin().to(stored)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x (…, d), its halves paired: (x1, x2) to (x1 cos − x2 sin, x2 cos + x1 sin)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention with rotary positions. `wqkv` packs, for each key/value head, its queries, key, value."""

    def __init__(self, config: InternLMXComposer2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.key_value_heads = config.num_key_value_heads
        self.group = config.num_attention_heads // config.num_key_value_heads
        packed = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
        self.wqkv = PLoRALinear(config.hidden_size, packed, config)
        self.wo = PLoRALinear(config.num_attention_heads * config.head_dim, config.hidden_size, config)

    def forward(self, x: Tensor, at: Positions, cache: Cache | None) -> Tensor:
        packed = self.wqkv(x, at.image).unflatten(-1, (self.key_value_heads, self.group + 2, self.head_dim))
        rotated = rotate(packed[..., :-1, :], at.cos, at.sin)  # queries and key in one go
        q = rotated[..., :-1, :].flatten(2, 3).transpose(1, 2)  # (B, heads, T, d)
        k = rotated[..., -1, :].transpose(1, 2)  # (B, key/value heads, T, d)
        v = packed[..., -1, :].transpose(1, 2)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        return self.wo(self._attend(q, k, v, at).transpose(1, 2).flatten(2), at.image)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, at: Positions) -> Tensor:
        if q.shape[2] == 1:
            # One new token: the queries of a group become the rows of one query, so that keys and values need not be
            # repeated for each head. A mask is the same for every row.
            rows = q.squeeze(2).unflatten(1, (self.key_value_heads, self.group))  # (B, key/value heads, group, d)
            if at.masked is None:
                attended = F.scaled_dot_product_attention(rows, k, v, at.mask)
            else:
                attended = masked_attention(rows, k, v, at.masked)
            return attended.flatten(1, 2).unsqueeze(2)
        if at.mask is None and takes_groups(q):
            return F.scaled_dot_product_attention(q, k, v, is_causal=at.causal, enable_gqa=True)
        k, v = (t.repeat_interleave(self.group, dim=1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=at.mask, is_causal=at.causal and at.mask is None)


def takes_groups(q: Tensor) -> bool:
    """Whether the attention kernel for `q`, without a mask, reads keys and values of a group without copies of them.

    Flash attention does, on cards from compute capability 8.0 on, in 16 bits. Elsewhere PyTorch would take a kernel
    that keeps all scores, or repeat the heads itself, as on the CPU, where that is no faster.
    """
    half = q.dtype in (torch.float16, torch.bfloat16)
    return q.is_cuda and half and torch.cuda.get_device_capability(q.device) >= (8, 0)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, masked: Tensor) -> Tensor:
    """Attention of one new token to keys and values most of which are `masked`, (B, heads, group, head_dim).

    Two products and a softmax in float32: for so few rows PyTorch's kernels for masked attention use a few of a card's
    processors and take longer (on an H200 7.9 ms a token of a 7B model, against 7.1 ms).
    """
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
    return scores.masked_fill(masked, -torch.inf).softmax(-1).to(v.dtype) @ v


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) · w3 x)."""

    def __init__(self, config: InternLMXComposer2Config) -> None:
        super().__init__()
        self.w1 = PLoRALinear(config.hidden_size, config.intermediate_size, config)
        self.w3 = PLoRALinear(config.hidden_size, config.intermediate_size, config)
        self.w2 = PLoRALinear(config.intermediate_size, config.hidden_size, config)

    def forward(self, x: Tensor, image: Tensor | None) -> Tensor:
        return self.w2(F.silu(self.w1(x, image)) * self.w3(x, image), image)


class Block(nn.Module):
    def __init__(self, config: InternLMXComposer2Config, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config, layer)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, at: Positions, cache: Cache | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), at, cache)
        return x + self.feed_forward(self.ffn_norm(x), at.image)


class InternLM2Model(nn.Module):
    """Embeddings (B, T, width) to final hidden states (B, T, width)."""

    def __init__(self, config: InternLMXComposer2Config) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(Block(config, n) for n in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        embeds: Tensor,
        im_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | StaticCache | None = None,
    ) -> Tensor:
        """im_mask: (B, T) bool, True at image tokens. attention_mask: (B, K), 0 at padding, K with the cached ones.

        cache: keys and values of earlier tokens; those of this call are added to it. In a `StaticCache` they are
        those of one token, at its position, and the other arguments are not used.
        """
        if isinstance(cache, StaticCache):
            at = self._position_in(cache, embeds)
        else:
            at = self._positions(embeds, im_mask, attention_mask, 0 if cache is None else cache.get_seq_length())
        for layer in self.layers:
            embeds = layer(embeds, at, cache)
        return self.norm(embeds)

    def _positions(self, embeds: Tensor, im_mask: Tensor | None, attention_mask: Tensor | None, past: int) -> Positions:
        batch, length, _ = embeds.shape
        if attention_mask is None:
            where = torch.arange(past, past + length, device=embeds.device).expand(batch, -1)  # (B, T)
            # Several tokens after cached ones need an explicit mask: is_causal aligns the first query to the first key.
            mask = None if length == 1 or past == 0 else _causal_mask(where, past + length)
        else:
            seen = attention_mask.bool()
            where = (seen.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
            rows = torch.arange(past, past + length, device=embeds.device).expand(batch, -1)
            mask = _causal_mask(rows, past + length) & seen[:, None, None, :]
            # A padding token attends to itself: an empty row would make its softmax NaN.
            mask = mask | (rows[:, None, :, None] == torch.arange(past + length, device=embeds.device))
        cos, sin = rotary_table(self.config, where, past + length)
        # Computed once for all layers. On a mask of the device `nonzero` waits for it; the prompt's mask is the host's.
        image = None
        if im_mask is not None and length > 1:
            image = on_device(im_mask.flatten().nonzero().squeeze(-1), embeds.device)
        return Positions(cos.to(embeds.dtype), sin.to(embeds.dtype), image, mask, causal=length > 1)

    def _position_in(self, cache: StaticCache, embeds: Tensor) -> Positions:
        # All of it from the cache's tensors: the host knows no length here.
        where = cache.position - cache.starts  # (B, 1)
        cos, sin = rotary_table(self.config, where, 1)
        return Positions(cos.to(embeds.dtype), sin.to(embeds.dtype), None, None, causal=False, masked=cache.masked())


def _causal_mask(rows: Tensor, keys: int) -> Tensor:
    """(B, 1, T, K) bool: True where key ≤ row. rows: (B, T) indices of the queries among the keys."""
    return torch.arange(keys, device=rows.device) <= rows[:, None, :, None]
