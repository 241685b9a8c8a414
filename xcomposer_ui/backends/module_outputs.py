"""The modules' outputs in a forward, and their distances from those of another forward, computed in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.tracing.tensor_origins import dtype_name
from xcomposer_ui.compare.divergence import LayerDivergence

Key = tuple[str, int]
"""(module's name, number of its call)."""


def block_names(model: nn.Module) -> set[str]:
    """The stages of the depth chart: each block, and the outermost modules that neither contain nor are in a block."""
    kinds = set(model._no_split_modules)  # type: ignore[arg-type]
    blocks = {name for name, module in model.named_modules() if type(module).__name__ in kinds}
    parents = {name[:end] for name in blocks for end in range(len(name)) if name[end] == "."} | {""}
    outermost = {
        name for name, _ in model.named_modules() if name not in parents and name.rpartition(".")[0] in parents
    }
    return blocks | outermost


@contextmanager
def outputs_of(model: nn.Module, each: Callable[[Key, Tensor], None]) -> Iterator[None]:
    """A context in which `each` gets the key and output of every module call that returns a floating-point tensor."""
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., None]:
        def returned(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[name]
            calls[name] += 1
            if isinstance(output, Tensor) and output.is_floating_point():
                each((name, call), output)

        return returned

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if name:
                hooks.enter_context(module.register_forward_hook(hook(name)))
        yield


def layer_divergence(key: Key, output: Tensor, reference: Tensor, is_block: bool) -> LayerDivergence:
    """The distance of `output` from `reference`, of the same shape; computed in float64.

    Raises AssertionError if the shapes differ, which shows that the calls do not correspond.
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
    return LayerDivergence(*key, dtype_name(output.dtype), error, cosine, largest, non_finite, is_block)


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
    """Whether `device` supports float64; Apple's GPU does not."""
    return device.type != "mps"


def in_float64(values: Tensor) -> Tensor:
    """`values` in float64, on the CPU if their device does not support it."""
    return (values if has_float64(values.device) else values.cpu()).double()


def largest_share(layers: Sequence[LayerDivergence]) -> tuple[float | None, str | None]:
    """(the largest ratio of a |value| to its dtype's largest finite value, the module that returned it).

    If a value is not finite, the ratio is None and the module the first that returned one.
    """
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
    """The index of the first token that differs or that only one of the two has; None if they are equal."""
    return next((n for n, (one, two) in enumerate(zip_longest(reference, other)) if one != two), None)
