"""Attention and PLoRA layers rewritten for a faster backward pass on the CPU, with the same results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from xcomposer_ui.models.xcomposer2.language import PLoRALinear


def explicit_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    *,
    recorded: list[Tensor] | None = None,
) -> Tensor:
    """Scaled dot-product attention as two products, in autocast's dtype where that is on, and a softmax.

    PyTorch's fused kernel has a slow backward pass for heads as small as these.

    Args:
        query: (B, heads, T, d). key, value: (B, heads, K, d).
        attn_mask: bool, broadcastable to (B, heads, T, K), True where a query may attend.
        is_causal: whether to mask later keys instead.
        recorded: list to which the scores before the softmax, (B, heads, T, K), are appended.

    Returns:
        (B, heads, T, d), in the dtype of the products.
    """
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    with torch.autocast(device, enabled=False):
        q, k, v = (query * query.shape[-1] ** -0.5).to(dtype), key.to(dtype), value.to(dtype)
        scores = q @ k.transpose(-1, -2)  # (B, heads, T, K)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        if recorded is not None:
            recorded.append(scores)
        return scores.softmax(-1) @ v


class AttentionOverride(TorchFunctionMode):
    """Context in which this thread's calls of `scaled_dot_product_attention` run `explicit_attention`.

    Args:
        recorded: list to which the scores of every call are appended.
    """

    def __init__(self, recorded: list[Tensor]) -> None:
        super().__init__()
        self.recorded = recorded

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace the one function; call every other one as it is."""
        if func is F.scaled_dot_product_attention:
            return explicit_attention(*args, **(kwargs or {}), recorded=self.recorded)
        return func(*args, **(kwargs or {}))


def merged_plora(self: PLoRALinear, x: Tensor, image: Tensor | None = None) -> Tensor:
    """`PLoRALinear.forward` for rows whose image tokens come last, with the adapter merged into a second weight.

    Gathering the image tokens and adding to them in place takes longer than the matrix products.
    """
    if image is None:
        return F.linear(x, self.weight)
    before = x.shape[1] - image.numel() // x.shape[0]
    at_image = self.weight + self.scale * (self.Plora_B.weight @ self.Plora_A.weight)
    return torch.cat((F.linear(x[:, :before], self.weight), F.linear(x[:, before:], at_image)), dim=1)


@contextmanager
def cpu_kernels(model: nn.Module) -> Iterator[list[Tensor]]:
    """Run `model` with this module's attention and PLoRA layers inside the block.

    Only the given instance and the current thread are affected.

    Yields:
        The list to which every attention appends its scores before the softmax, (B, heads, T, K).
    """
    recorded: list[Tensor] = []
    adapted = [module for module in model.modules() if isinstance(module, PLoRALinear)]
    for module in adapted:
        module.forward = MethodType(merged_plora, module)  # type: ignore[method-assign]
    try:
        with AttentionOverride(recorded):
            yield recorded
    finally:
        for module in adapted:
            del module.forward  # the instance's attribute: the class's method is visible again
