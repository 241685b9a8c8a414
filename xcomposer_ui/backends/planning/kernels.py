"""What an operation does that its outputs do not show: the dtypes it refuses, and the scratch memory it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.memory import CpuPeak

aten = torch.ops.aten

SAME_DTYPE = {
    aten.addmm.default: (0, 1, 2),
    aten.mm.default: (0, 1),
    aten.bmm.default: (0, 1),
    aten.convolution.default: (0, 1, 2),
    aten.index_add_.default: (0, 3),
}
"""Operation -> positions of the operands whose dtypes must be one; each raises a RuntimeError on real tensors."""


def clash(func: Any, args: Any) -> str | None:
    """The operation's name where its operands' dtypes differ and it would refuse them, else None."""
    at = SAME_DTYPE.get(func)
    if at is None:
        return None
    dtypes = {args[n].dtype for n in at if n < len(args) and isinstance(args[n], Tensor)}
    return str(func) if len(dtypes) > 1 else None


MEASURED = {
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
    aten.convolution.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
}
"""Operations whose CPU kernels take scratch memory: packed operands, unfolded pictures, blocks of attention scores."""

LARGEST_TRIED = 1 << 19
"""Elements of the operands together, up to which a kernel is tried out. Scratch memory is bounded by the processor's
caches, a few MiB whatever the sizes: beside tensors larger than this it is lost in the total."""

Argument = tuple[tuple[int, ...], tuple[int, ...], torch.dtype] | tuple[int, ...] | int | float | bool | None


@dataclass(frozen=True)
class Kernel:
    """One operation on operands of one description: (shape, strides, dtype) for a tensor, else the value itself."""

    operation: Any
    operands: tuple[Argument, ...]
    options: tuple[tuple[str, Argument], ...]


def kernel(func: Any, args: Any, kwargs: Any) -> Kernel | None:
    """The kernel that `func` would run, where it is one that takes scratch memory worth knowing."""
    if func not in MEASURED or sum(t.numel() for t in args if isinstance(t, Tensor)) > LARGEST_TRIED:
        return None
    options = tuple((name, _described(kwargs[name])) for name in sorted(kwargs))
    return Kernel(func, tuple(_described(a) for a in args), options)


def scratch_bytes(of: Kernel) -> int:
    """Bytes that the CPU's kernel takes from the allocator and returns before it ends.

    Which kernel runs, and what it takes, depends on the processor, on its number of threads and on the sizes: it is
    tried out here, on real zeros of the same shapes, once for each description. 0 where PyTorch has no profiler.
    """
    return _tried(of, torch.get_num_threads())


@cache
def _tried(of: Kernel, threads: int) -> int:
    operands, options = [_zeros(a) for a in of.operands], {name: _zeros(a) for name, a in of.options}
    of.operation(*operands, **options)  # the first call of a kernel may keep what it allocates
    with torch.no_grad(), CpuPeak(nn.Identity()) as peak:
        result = of.operation(*operands, **options)
    results = [t for t in (result if isinstance(result, tuple) else (result,)) if isinstance(t, Tensor)]
    kept = sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in results}.values())
    return 0 if peak.peak_bytes is None else peak.peak_bytes - kept


def _described(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return tuple(argument.shape), argument.stride(), argument.dtype
    return tuple(argument) if isinstance(argument, list) else argument


def _zeros(argument: Argument) -> Any:
    if isinstance(argument, tuple) and argument and isinstance(argument[-1], torch.dtype):
        shape, strides, dtype = argument
        return torch.empty_strided(shape, strides, dtype=dtype).zero_()
    return argument
