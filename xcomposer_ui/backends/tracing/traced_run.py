"""Runs a request again under the tracer: where it fails, and the dtypes and values of its modules."""

from __future__ import annotations

from typing import Any

from xcomposer_ui.backends.arithmetic import EXPECTED, arithmetic, run
from xcomposer_ui.backends.devices import free_unused
from xcomposer_ui.backends.run_control import BlockWatch, Stopped
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure, trace_flow
from xcomposer_ui.core.request import Request
from xcomposer_ui.runtime.backend import FailureSite, Progress
from xcomposer_ui.tracing.dtype_flow import DtypeFlow


def find_site(model: Any, tokenizer: Any, question: Request, progress: Progress) -> FailureSite:
    """Where the run of `question` fails; empty if it does not fail again, or is stopped."""
    strategy, half = question.method, question.half_dtype
    try:
        with BlockWatch(model, progress), arithmetic(model, strategy, half, question.stress_exponent):
            site = trace_failure(lambda: run(model, tokenizer, question, strategy, half), model)
            return site or FailureSite()
    except Stopped:
        return FailureSite()


def traced_flow(
    model: Any, tokenizer: Any, question: Request, progress: Progress, *, values: bool = False
) -> DtypeFlow:
    """Each module call's dtypes in the run, with `values` its largest value too; empty if stopped."""
    strategy, half = question.method, question.half_dtype
    try:
        with BlockWatch(model, progress), arithmetic(model, strategy, half, question.stress_exponent):
            return trace_flow(
                lambda: run(model, tokenizer, question, strategy, half), model, values=values, expected=EXPECTED
            )
    except Stopped:
        return DtypeFlow(())
    finally:
        free_unused(model.device.type)
