"""A run's failure as a record: its explanation, and the outcome of every other strategy on the same question."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Explanation, Failure, Fix
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.matcher import NOT_KNOWN
from xcomposer_ui.explain.remedy_code import remedy_code
from xcomposer_ui.runtime.backend import Backend, CallResult, Progress

Tried = dict[tuple[str, Sentence, str | None, bool], Explanation]
"""(type, message, module, whether without a picture) of a failure -> its explanation, remedies tried."""


def failure_of(
    outcome: CallResult,
    backend: Backend,
    request: Request,
    progress: Progress,
    tried: Tried,
) -> Failure | None:
    """The failure that `outcome` ended with, explained and its remedies tried; None where it did not fail.

    tried: explanations of earlier failures, reused for equal ones and extended here.
    """
    if outcome.failure_type is None:
        return None
    key = outcome.failure_type, outcome.message, outcome.site.module, request.image is None
    if key not in tried:
        tried[key] = _explanation(outcome, backend, request, progress)
    return Failure(
        type=outcome.failure_type,
        message=outcome.message,
        module=outcome.site.module,
        operation=outcome.site.operation,
        operands=outcome.site.operands,
        explanation=tried[key],
        traceback=outcome.traceback,
    )


def _explanation(outcome: CallResult, backend: Backend, request: Request, progress: Progress) -> Explanation:
    """The failure's explanation, with the outcome of each other strategy that could be tried."""
    explanation = explain(
        f"{outcome.failure_type}: {outcome.message}", device=backend.device, operation=outcome.site.operation
    )
    known = {fix.strategy: fix for fix in explanation.fixes}
    # A clash shows in a prefill and one step of decoding; that a token is repeated shows after many.
    tokens = request.max_new_tokens if outcome.failure_type == "RepeatedToken" else 2
    fixes = []
    for other in STRATEGIES.values():
        fix = known.get(other.name, Fix(other.name, None, NOT_KNOWN))
        if other.name == request.strategy:
            fixes.append(replace(fix, cures=False, tried=True, failed_with=outcome.message, code=None))
        else:
            trial = replace(request, strategy=other.name, max_new_tokens=tokens)
            fixes.append(_with_code(_tried(fix, backend.try_remedy(trial, progress)), trial, backend.device))
    return replace(explanation, fixes=tuple(fixes))


def _with_code(fix: Fix, request: Request, device: str) -> Fix:
    """`fix` with the code of `request`; without any where it does not cure."""
    if fix.cures is False:
        return replace(fix, code=None)
    code = remedy_code(request.method, request.half_dtype, str(request.model), device, with_picture=request.has_picture)
    return replace(fix, code=code)


def _tried(fix: Fix, outcome: CallResult | None) -> Fix:
    """`fix` with the outcome of its trial, if that ran to its end."""
    if outcome is None or outcome.stopped:
        return fix
    answered = outcome.failure_type is None
    return replace(fix, cures=answered, tried=True, failed_with=None if answered else outcome.message)
