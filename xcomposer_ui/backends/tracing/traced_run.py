"""A question run once more, traced: where it fails, and the dtypes and values on its way."""

from __future__ import annotations

from typing import Any

from xcomposer_ui.backends.arithmetic import EXPECTED, arithmetic, run
from xcomposer_ui.backends.devices import free_unused
from xcomposer_ui.backends.run_control import BlockWatch, Stopped
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure, trace_flow
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.runtime.backend import FailureSite, Progress
from xcomposer_ui.tracing.dtype_flow import DtypeFlow


def find_site(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, progress: Progress
) -> FailureSite:
    """Where the run fails. A trace is too slow to be on in every run, so it is run once more."""
    try:
        with BlockWatch(model, progress), arithmetic(strategy, half, model.device.type):
            site = trace_failure(lambda: run(model, tokenizer, question, strategy, half), model)
            return site or FailureSite()
    except Stopped:
        return FailureSite()


def traced_flow(
    model: Any,
    tokenizer: Any,
    question: Request,
    strategy: Strategy,
    half: str,
    progress: Progress,
    *,
    values: bool = False,
) -> DtypeFlow:
    """Each module's dtypes in the run, with `values` its largest value; empty if stopped."""
    try:
        with BlockWatch(model, progress), arithmetic(strategy, half, model.device.type):
            return trace_flow(
                lambda: run(model, tokenizer, question, strategy, half), model, values=values, expected=EXPECTED
            )
    except Stopped:
        return DtypeFlow(())
    finally:
        free_unused(model.device.type)
