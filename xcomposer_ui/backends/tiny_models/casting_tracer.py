"""A tracer that casts at a clash and continues, so that one run finds every boundary and not only the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from xcomposer_ui.backends.torch_private import tree_map, writes_into_an_operand
from xcomposer_ui.backends.tracing.tensor_origins import tensors_in
from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.explain import explain
from xcomposer_ui.runtime.backend import FailureSite
from xcomposer_ui.tracing.lint import Boundary


class CastingTracer(Tracer):
    """Records each boundary where floating-point types clash, and casts there.

    The operands are cast to the dtype of the one that is written into, else to the weight's. Only errors that the
    rules explain are handled; an operation that fails again with the cast operands raises.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._found: dict[tuple[object, ...], Boundary] = {}
        self._passed_on: BaseException | None = None

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Each clash once, in order of execution."""
        return tuple(self._found.values())

    def operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        return self._or_cast(super().operation, operation, args, kwargs, lambda: writes_into_an_operand(operation))

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        return self._or_cast(super().call, function, args, kwargs, lambda: False)

    def _or_cast(
        self, run: Callable[..., Any], called: Any, args: Any, kwargs: Any, written: Callable[[], bool]
    ) -> Any:
        """The result of `run(called, args, kwargs)`, or of the same with operands that were cast."""
        try:
            return run(called, args, kwargs)
        except Exception as error:
            # Errors of an operation were handled there; the others come from checks before any operation.
            if error is self._passed_on:
                raise
            self._passed_on = error
            cast = self._cast_to_one(error, args, kwargs, written=written())
            if cast is None:
                raise
            self.forget(error)
        return run(called, *cast)

    def _cast_to_one(self, error: Exception, args: Any, kwargs: Any, *, written: bool) -> tuple[Any, Any] | None:
        """The arguments cast to one dtype, None if the error has another cause."""
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
