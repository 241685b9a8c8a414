"""Traces a run: where it failed, and its dtype flow. Not for runs that are timed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.arithmetic import EXPECTED, ModelRun
from xcomposer_ui.backends.devices import free_unused
from xcomposer_ui.backends.run_control import BlockWatch, Stopped
from xcomposer_ui.backends.tracing.tensor_origins import dtype_name, tensors_in
from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.runtime.backend import Progress
from xcomposer_ui.tracing.dtype_flow import Cast, DtypeFlow, FailureSite, ModuleCall, OutsideCast

MOST_CALLS = 20_000
"""Most module calls of a flow: about 150 tokens of a 32-block model. Later calls are not recorded."""

CastCounts = Counter[tuple[str, str, str]]
"""(operation, from dtype, to dtype) -> how often."""


def find_site(run: ModelRun, progress: Progress) -> FailureSite:
    """Where `run` fails if it is run again; empty if it does not fail then, or is stopped."""
    try:
        with BlockWatch(run.model, progress), run.arithmetic():
            return trace_failure(run.answer_ids, run.model) or FailureSite()
    except Stopped:
        return FailureSite()


def traced_flow(run: ModelRun, progress: Progress, *, values: bool = False) -> DtypeFlow:
    """Each module call's dtypes in `run`, with `values` its largest value too; empty if stopped."""
    try:
        with BlockWatch(run.model, progress), run.arithmetic():
            return trace_flow(run.answer_ids, run.model, values=values, expected=EXPECTED)
    except Stopped:
        return DtypeFlow(())
    finally:
        free_unused(run.model.device.type)


def trace_failure(call: Callable[[], object], model: nn.Module) -> FailureSite | None:
    """Run `call` once, traced; returns where it failed, None if it did not.

    module: the full name of the module whose forward was running. operation: as "aten.addmm".
    operands: the operation's tensors in order: a parameter by its full name, or an activation with the module that
    returned it and the operation and module that last changed its dtype.
    Only subclasses of Exception are caught.
    """
    tracer = Tracer(model)
    try:
        with tracer:
            call()
    except Exception as error:
        site = tracer.site(error)
        tracer.forget(error)
        return site
    return None


def trace_flow(
    call: Callable[[], object],
    model: nn.Module,
    *,
    values: bool = False,
    expected: tuple[type[Exception], ...] = (Exception,),
) -> DtypeFlow:
    """Run `call` once, traced; returns the dtypes of each module call's inputs, outputs and weights, and its casts.

    values: whether to record the largest |value| and the number of NaN and infinite values of each output too.
    A failure ends the flow: the modules that were running are marked, `error` and `clash` describe it.
    expected: the exceptions that are failures; others are raised.
    """
    tracer = FlowTracer(model, values)
    try:
        with tracer:
            call()
    except expected as error:
        site = tracer.site(error)
        tracer.forget(error)
        return tracer.flow(f"{type(error).__name__}: {error}", site)
    return tracer.flow()


class FlowTracer(Tracer):
    """A tracer that also records each module call."""

    def __init__(self, model: nn.Module, values: bool = False) -> None:
        super().__init__(model)
        self._values = values
        self._calls: list[ModuleCall] = []
        self._open: list[int | None] = []
        # Index of the call in which, or before which outside of all, the casts occur -> how often each does.
        self._casts: defaultdict[int, CastCounts] = defaultdict(Counter)
        self._outside: defaultdict[int, CastCounts] = defaultdict(Counter)

    def flow(self, error: str | None = None, clash: FailureSite | None = None) -> DtypeFlow:
        calls = tuple(
            replace(call, casts=tuple(Cast(*key, count) for key, count in self._casts[call.index].items()))
            for call in self._calls
        )
        outside = tuple(
            OutsideCast(before, Cast(*key, count))
            for before, counts in self._outside.items()
            for key, count in counts.items()
        )
        return DtypeFlow(calls, error, truncated=len(calls) >= MOST_CALLS, clash=clash, outside=outside)

    def entered(self, module: nn.Module, inputs: list[Tensor]) -> None:
        if len(self._calls) >= MOST_CALLS:
            self._open.append(None)
            return
        self._open.append(len(self._calls))
        self._calls.append(
            ModuleCall(
                index=len(self._calls),
                name=self.module,
                class_name=type(module).__name__,
                depth=len(self._open) - 1,
                dtypes_in=_dtypes(inputs),
                dtypes_out=(),
                dtypes_parameters=_dtypes(list(module.parameters(recurse=False))),
                max_abs_in=self._measure(inputs)[0] if self._values else None,
                failed=True,  # until it returns
            )
        )

    def left(self, output: Any) -> None:
        index = self._open.pop()
        outputs = tensors_in(output)
        if index is None or (output is None and self.raising):
            return
        largest, non_finite = self._measure(outputs) if self._values else (None, None)
        self._calls[index] = replace(
            self._calls[index], dtypes_out=_dtypes(outputs), failed=False, max_abs=largest, non_finite=non_finite
        )

    def _measure(self, tensors: list[Tensor]) -> tuple[float | None, int]:
        """(largest finite |value|, number of NaN and infinite values) of the floating-point tensors."""
        largest: float | None = None
        non_finite = 0
        with self.paused(), torch.no_grad():
            for output in tensors:
                if not output.dtype.is_floating_point or output.numel() == 0:
                    continue
                finite = torch.isfinite(output)
                non_finite += int(output.numel() - finite.sum())
                magnitude = float(torch.where(finite, output, 0).abs().max())
                largest = magnitude if largest is None else max(largest, magnitude)
        return largest, non_finite

    def computed(self, operation: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Count a cast where the first output is of another floating-point type than an input."""
        if not outputs or not outputs[0].dtype.is_floating_point:
            return
        out = outputs[0]
        # A tensor without dimensions does not take part in type promotion, like a number.
        floats = [t.dtype for t in inputs if t.dtype.is_floating_point and (t.dim() or not out.dim())]
        changed = next((dtype for dtype in floats if dtype != out.dtype), None)
        if changed is None:
            return
        cast = operation, dtype_name(changed), dtype_name(out.dtype)
        if not self._open:
            self._outside[len(self._calls)][cast] += 1
        elif (call := self._open[-1]) is not None:  # None beyond MOST_CALLS
            self._casts[call][cast] += 1


def _dtypes(tensors: list[Tensor]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dtype_name(tensor.dtype) for tensor in tensors))
