"""Each module's output as a forward gives it, with the module's name and call; and which of them are the stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Key = tuple[str, int]
"""A module's name, and which of its calls."""


def block_names(model: nn.Module) -> set[str]:
    """The stages of the depth chart: each block, and the outermost modules that hold none and are in none."""
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
def listening(model: nn.Module, hear: Callable[[Key, Tensor], None]) -> Iterator[None]:
    """Within, `hear` is given each module's output, floating-point tensors alone, with the module's name and call."""
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., None]:
        def heard(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[name]
            calls[name] += 1
            if isinstance(output, Tensor) and output.is_floating_point():
                hear((name, call), output)

        return heard

    hooks = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for hook_ in hooks:
            hook_.remove()
