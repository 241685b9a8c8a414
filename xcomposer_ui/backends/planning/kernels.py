"""Properties of an operation's kernels: the dtypes that they refuse, and the scratch memory that they allocate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.memory import CpuPeak, storage_bytes

aten = torch.ops.aten

SAME_DTYPE = {
    aten.addmm.default: (0, 1, 2),
    aten.mm.default: (0, 1),
    aten.bmm.default: (0, 1),
    aten.convolution.default: (0, 1, 2),
    aten.index_add_.default: (0, 3),
}
"""Operation -> positions of the operands that must have one dtype, else it raises RuntimeError on real tensors."""


def clash(func: Any, args: Any) -> str | None:
    """The operation's name if it refuses its operands because their dtypes differ, else None."""
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
"""Operations whose CPU kernels allocate scratch memory: packed operands, unfolded pictures, attention scores."""

LARGEST_MEASURED = 1 << 19
"""Most elements of the operands together for which a kernel is measured. Scratch memory is bounded by the processor's
caches, a few MiB at any size: next to larger tensors it is negligible."""

Argument = tuple[tuple[int, ...], tuple[int, ...], torch.dtype] | tuple[int, ...] | int | float | bool | None


@dataclass(frozen=True)
class Kernel:
    """An operation and a description of its arguments: (shape, strides, dtype) for a tensor, else the value itself."""

    operation: Any
    operands: tuple[Argument, ...]
    options: tuple[tuple[str, Argument], ...]


def kernel(func: Any, args: Any, kwargs: Any) -> Kernel | None:
    """The kernel that `func` would run if its scratch memory is to be counted, else None."""
    if func not in MEASURED or sum(t.numel() for t in args if isinstance(t, Tensor)) > LARGEST_MEASURED:
        return None
    options = tuple((name, _described(kwargs[name])) for name in sorted(kwargs))
    return Kernel(func, tuple(_described(a) for a in args), options)


def measure_in(threads: int) -> None:
    """Have kernels run in so many of the CPU's threads, in this process, from now on."""
    torch.set_num_threads(threads)


def scratch_bytes(kernel: Kernel) -> int:
    """Bytes that the CPU's kernel allocates and frees before it ends.

    They depend on the processor, its number of threads and the sizes, so the kernel is run on zeros of the same
    shapes, once for each description.
    """
    return _measured(kernel, torch.get_num_threads())


@cache
def _measured(kernel: Kernel, threads: int) -> int:
    operands, options = [_zeros(a) for a in kernel.operands], {name: _zeros(a) for name, a in kernel.options}
    kernel.operation(*operands, **options)  # the first call of a kernel may keep what it allocates
    with torch.no_grad(), CpuPeak(nn.Identity()) as peak:
        result = kernel.operation(*operands, **options)
    results = [t for t in (result if isinstance(result, tuple) else (result,)) if isinstance(t, Tensor)]
    assert peak.peak_bytes is not None
    return peak.peak_bytes - storage_bytes(results)


def _described(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return tuple(argument.shape), argument.stride(), argument.dtype
    return tuple(argument) if isinstance(argument, list) else argument


def _zeros(argument: Argument) -> Any:
    if isinstance(argument, tuple) and argument and isinstance(argument[-1], torch.dtype):
        shape, strides, dtype = argument
        return torch.empty_strided(shape, strides, dtype=dtype).zero_()
    return argument
