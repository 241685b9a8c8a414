"""A tracer that mends a clash and goes on, so that one run tells every boundary and not the first alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from xcomposer_ui.backends.tracing.tensor_origins import tensors_in
from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.explain import explain
from xcomposer_ui.runtime.backend import FailureSite
from xcomposer_ui.tracing.lint import Boundary


class CastingTracer(Tracer):
    """Where floating-point types clash it notes the boundary and casts, as a person would mend it there.

    What is written into keeps its dtype; else the operands take the weight's. Only errors that the table of
    explanations knows are mended, and each operation once: what fails then too, raises.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._found: dict[tuple[object, ...], Boundary] = {}
        self._handed_on: BaseException | None = None

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Each clash once, in the order in which they were met."""
        return tuple(self._found.values())

    def operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().operation(operation, args, kwargs)
        except Exception as error:
            self._handed_on = error
            written = operation._schema.is_mutable
            mended = self._mended(error, args, kwargs, written=written)
            if mended is None:
                raise
            self.forget(error)
        return super().operation(operation, *mended)

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().call(function, args, kwargs)
        except Exception as error:
            # What an operation raised was looked at there; the rest are checks that come before any operation.
            if error is self._handed_on:
                raise
            self._handed_on = error
            mended = self._mended(error, args, kwargs, written=False)
            if mended is None:
                raise
            self.forget(error)
        return super().call(function, *mended)

    def _mended(self, error: Exception, args: Any, kwargs: Any, *, written: bool) -> tuple[Any, Any] | None:
        """The arguments in one dtype, None where that is not what is wrong."""
        tensors = [tensor for tensor in tensors_in((args, kwargs)) if tensor.is_floating_point()]
        if self.is_paused or len({tensor.dtype for tensor in tensors}) < 2:
            return None
        text = f"{type(error).__name__}: {error}"
        explanation = explain(text, device=self._device)
        if not explanation.recognised:
            return None
        self._note(self.site(error), str(error), explanation.family)
        target = tensors[0] if written else next((t for t in tensors if self.is_weight(t)), tensors[0])

        def cast(value: Any) -> Any:
            apart = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != target.dtype
            return value.to(target.dtype) if apart else value

        with self.paused():
            return tree_map(cast, args), tree_map(cast, kwargs)

    def _note(self, site: FailureSite, message: str, family: str | None) -> None:
        key = site.module, site.operation, tuple(operand.dtype for operand in site.operands), message
        self._found.setdefault(key, Boundary(site.module, site.operation, site.operands, message, family))
