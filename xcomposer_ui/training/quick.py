"""The model's slowest steps on a CPU, written anew for training; what they compute stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2.language import PLoRALinear


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    watched: list[Tensor] | None = None,
    **_: Any,
) -> Tensor:
    """What `scaled_dot_product_attention` computes, (B, heads, T, d), as two products around a softmax in bfloat16.

    The library's fused one has a slow backward for heads this small. watched: gets the scores before the softmax,
    (B, heads, T, K), of every call.
    """
    with torch.autocast(query.device.type, enabled=False):
        q, k, v = (query * query.shape[-1] ** -0.5).bfloat16(), key.bfloat16(), value.bfloat16()
        scores = q @ k.transpose(-1, -2)  # (B, heads, T, K)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        if watched is not None:
            watched.append(scores)
        return scores.softmax(-1) @ v


def merged_plora(self: PLoRALinear, x: Tensor, image: Tensor | None = None) -> Tensor:
    """What `PLoRALinear` computes where each row's image tokens are its last: with one weight of their own.

    Gathering those tokens and adding to them in place takes longer than the products.
    """
    if image is None:
        return F.linear(x, self.weight)
    before = x.shape[1] - image.numel() // x.shape[0]
    at_image = self.weight + self.scale * (self.Plora_B.weight @ self.Plora_A.weight)
    return torch.cat((F.linear(x[:, :before], self.weight), F.linear(x[:, before:], at_image)), dim=1)


@contextmanager
def quick_steps() -> Iterator[list[Tensor]]:
    """The functions above in place of the model's own inside the block; for training only.

    Yields the list that gets the scores of every attention.
    """
    watched: list[Tensor] = []
    attention, plora = F.scaled_dot_product_attention, PLoRALinear.forward
    F.scaled_dot_product_attention = partial(plain_attention, watched=watched)  # type: ignore[assignment]
    PLoRALinear.forward = merged_plora  # type: ignore[method-assign]
    try:
        yield watched
    finally:
        F.scaled_dot_product_attention = attention
        PLoRALinear.forward = plora  # type: ignore[method-assign]
