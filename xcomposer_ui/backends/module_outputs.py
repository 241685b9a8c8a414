"""Each module's output in a forward, and its distance from another forward's output; distances are in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.compare.divergence import LayerDivergence

Key = tuple[str, int]
"""(module's name, number of its call)."""


def block_names(model: nn.Module) -> set[str]:
    """The stages of the depth chart: each block, and the outermost modules that contain none and are in none."""
    kinds = set(model._no_split_modules)  # type: ignore[arg-type]
    blocks = {name for name, module in model.named_modules() if type(module).__name__ in kinds}
    holders = {name[:end] for name in blocks for end in range(len(name)) if name[end] == "."} | {""}
    outermost: set[str] = set()
    for name, _ in model.named_modules():
        parent = name.rpartition(".")[0]
        if name not in holders and name not in blocks and parent in holders:
            outermost.add(name)
    return blocks | outermost


@contextmanager
def outputs_of(model: nn.Module, each: Callable[[Key, Tensor], None]) -> Iterator[None]:
    """Within, `each` is called with each module's name and call, and its output if a floating-point tensor."""
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., None]:
        def returned(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[name]
            calls[name] += 1
            if isinstance(output, Tensor) and output.is_floating_point():
                each((name, call), output)

        return returned

    hooks = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for hook_ in hooks:
            hook_.remove()


def layer_divergence(key: Key, output: Tensor, reference: Tensor, is_block: bool) -> LayerDivergence:
    """`output` against `reference`, of the same shape; computed in float64.

    Raises AssertionError where the shapes differ: the calls were different ones then.
    """
    assert output.shape == reference.shape, f"{key} gave {output.shape}, the reference {reference.shape}"
    found = in_float64(output.detach())
    expected = in_float64(reference).to(found.device)
    finite = found.isfinite()
    non_finite = int((~finite).sum())
    error = cosine = None
    if not non_finite and bool(expected.isfinite().all()):
        size, distance = float(expected.norm()), float((found - expected).norm())
        error = distance / size if size else (0.0 if distance == 0 else None)
        length = size * float(found.norm())
        cosine = max(-1.0, min(1.0, float((found * expected).sum()) / length)) if length else None
    largest = float(found[finite].abs().max()) if bool(finite.any()) else None
    dtype = str(output.dtype).removeprefix("torch.")
    return LayerDivergence(*key, dtype, error, cosine, largest, non_finite, is_block)


def logit_figures(reference: Tensor, logits: Tensor) -> tuple[float | None, float | None, float, int]:
    """(max |difference|, mean KL(reference ‖ logits) in nats, top-1 agreement, positions that are not finite).

    Both (positions, vocabulary); computed in float64. The first two are None where a logit is not finite.
    """
    expected, found = in_float64(reference), in_float64(logits)
    finite = found.isfinite().all(dim=-1)
    agreement = float(((expected.argmax(-1) == found.argmax(-1)) & finite).double().mean())
    non_finite = int((~finite).sum())
    if non_finite:
        return None, None, agreement, non_finite
    p, q = expected.log_softmax(-1), found.log_softmax(-1)
    # A sum of terms of both signs: rounding may leave it just below 0.
    kl = float((p.exp() * (p - q)).sum(-1).clamp(min=0).mean())
    return float((expected - found).abs().max()), kl, agreement, 0


def has_float64(device: torch.device) -> bool:
    """Whether tensors on `device` may be float64; on Apple's GPU they may not."""
    return device.type != "mps"


def in_float64(values: Tensor) -> Tensor:
    """`values` in float64, on the CPU where their device has no such type."""
    return (values if has_float64(values.device) else values.cpu()).double()


def largest_share(layers: Sequence[LayerDivergence]) -> tuple[float | None, str | None]:
    """The largest |value| over its dtype's largest finite one, and the module that gave it."""
    overflown = next((layer.module for layer in layers if layer.non_finite), None)
    if overflown is not None:
        return None, overflown
    shares = [
        (layer.max_abs_value / torch.finfo(getattr(torch, layer.dtype)).max, layer.module)
        for layer in layers
        if layer.max_abs_value is not None
    ]
    return max(shares, key=lambda pair: pair[0], default=(None, None))


def first_difference(reference: Sequence[int], other: Sequence[int]) -> int | None:
    """The index of the first token that differs, one of them ending first included; None where there is none."""
    for n, (a, b) in enumerate(zip(reference, other, strict=False)):
        if a != b:
            return n
    return None if len(reference) == len(other) else min(len(reference), len(other))
