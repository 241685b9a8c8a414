"""Scale a model's residual stream by a power of two: the same function of real numbers, in another range of numbers.

Every module that writes into the residual stream is multiplied by 2 ** n, which is what multiplying its weights by it
would give; the norms that read the stream divide by its size, so that everything behind them stays as it was. A power
of two changes the exponent of a floating-point number and no digit of it: float32 and bfloat16, with 8 bits of
exponent, give the same answer to the bit. float16 has 5: above 65504 it overflows to infinity, below 6e-5 it loses
digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from xcomposer_ui.core.errors import UserError


@dataclass(frozen=True)
class ResidualStream:
    """writers: the modules whose outputs are added up to the residual stream. norms: those that read it, with `eps`."""

    writers: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]


@contextmanager
def stressed(model: Any, exponent: int | None) -> Iterator[None]:
    """Within, the residual stream of `model` is 2 ** `exponent` times its size; None or 0: as it is.

    The weights are not changed, and no memory is taken. Raises UserError for a family without a `residual_stream`.
    """
    if not exponent:
        yield
        return
    stream: ResidualStream | None = model.residual_stream()
    if stream is None:
        raise UserError("no_residual_stream")
    factor = 2.0**exponent

    def scale(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output.mul_(factor)  # in place: it is the module's own, and no gradient is computed here

    with ExitStack() as stack:
        for writer in stream.writers:
            stack.callback(writer.register_forward_hook(scale).remove)
        for norm in stream.norms:
            eps = norm.eps
            stack.callback(setattr, norm, "eps", eps)
            setattr(norm, "eps", eps * factor**2)  # noqa: B010  # nn.Module types its attributes as tensors
        yield
