"""What the runner has computed with a loaded backend, as functions that can be sent to another process.

A run's failure is explained, and every other strategy is tried on the same question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.events import FinishedBatch, TryingRemedies
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Explanation, Failure, Fix, RunResult
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.matcher import NOT_KNOWN
from xcomposer_ui.explain.remedy_code import remedy_code
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.runtime.backend import Backend, CallResult, Progress
from xcomposer_ui.tracing.dtype_flow import DtypeFlow

TRIAL_TOKENS = 2
"""Of a remedy's trial: a clash shows in a prefill and one step of decoding."""

Tried = dict[tuple[str, Sentence, str | None, bool], Explanation]
"""(type, message, module, whether without a picture) of a failure -> its explanation, remedies tried."""


def compute_run(backend: Backend, progress: Progress, request: Request, half_reason: Sentence) -> RunResult:
    """Answer one request; a failure is explained and its remedies are tried."""
    load_sec = backend.load(request.weights_dtype, progress)
    result = backend.generate(request, progress)
    return _run_result(request, half_reason, backend, result, load_sec, progress, {})


def compute_batch(
    backend: Backend, progress: Progress, requests: Sequence[Request], half_reason: Sentence
) -> FinishedBatch:
    """Answer as many of the first `requests` in one call as fit into memory."""
    load_sec = backend.load(requests[0].weights_dtype, progress)
    batch = backend.generate_batch(requests, progress)
    tried: Tried = {}
    results = [
        _run_result(request, half_reason, backend, result, load_sec, progress, tried)
        for request, result in zip(requests, batch.results, strict=False)
    ]
    return FinishedBatch(tuple(results), batch.size)


def measure_divergence(
    backend: Backend, progress: Progress, request: Request, variants: Sequence[tuple[str, str]]
) -> Divergences:
    return backend.measure_divergence(request, variants, progress)


def trace(backend: Backend, progress: Progress, request: Request) -> tuple[str, DtypeFlow]:
    """(device, dtype flow of a traced run)."""
    backend.load(request.weights_dtype, progress)
    return backend.device, backend.trace_dtypes(request, progress)


def finetune(backend: Backend, progress: Progress, request: FinetuningRequest, device: str, check: Check) -> Finetuning:
    """Fine-tune a copy of the embedded model until it ends or is stopped."""
    from xcomposer_ui.backends.finetuning.execution import finetuning_steps  # imports torch

    for progress.finetuning in finetuning_steps(request, device, check):
        if progress.stop.is_set():
            break
    assert progress.finetuning is not None
    return progress.finetuning


def _run_result(
    request: Request,
    half_reason: Sentence,
    backend: Backend,
    result: CallResult,
    load_sec: float | None,
    progress: Progress,
    tried: Tried,
) -> RunResult:
    """The result of a run. A failure is explained and its remedies are tried, unless `tried` has an equal failure."""
    return RunResult(
        request=request,
        device=backend.device,
        measurement=replace(result.measurement, load_sec=load_sec),
        answer=result.answer,
        failure=_failure_of(result, backend, request, progress, tried),
        stopped=result.stopped,
        reasons={**backend.reasons, **result.reasons, "half": half_reason},
        picture_size=request.picture_size,
        revision=backend.revision,
        timeline=result.timeline,
        tokens=result.tokens,
    )


def _failure_of(
    outcome: CallResult, backend: Backend, request: Request, progress: Progress, tried: Tried
) -> Failure | None:
    """The failure that `outcome` ended with, explained and its remedies tried; None where it did not fail.

    tried: explanations of earlier failures, reused for equal ones and extended here.
    """
    if outcome.failure_type is None:
        return None
    key = outcome.failure_type, outcome.message, outcome.site.module, request.image is None
    failure = Failure(
        type=outcome.failure_type,
        message=outcome.message,
        module=outcome.site.module,
        operation=outcome.site.operation,
        operands=outcome.site.operands,
        explanation=tried.get(key) or _explanation(outcome, backend.device, request),
        traceback=outcome.traceback,
    )
    if key not in tried:
        failure = _after_trials(failure, backend, request, progress)
        tried[key] = failure.explanation
    return failure


def _explanation(outcome: CallResult, device: str, request: Request) -> Explanation:
    """The failure's explanation by its message, with a verdict on every strategy."""
    explanation = explain(f"{outcome.failure_type}: {outcome.message}", device=device, operation=outcome.site.operation)
    known = {fix.strategy: fix for fix in explanation.fixes}
    fixes = {name: known.get(name, Fix(name, None, NOT_KNOWN)) for name in STRATEGIES}
    own = replace(fixes[request.strategy], cures=False, tried=True, failed_with=outcome.message, code=None)
    return replace(explanation, fixes=tuple((fixes | {request.strategy: own}).values()))


def _after_trials(failure: Failure, backend: Backend, request: Request, progress: Progress) -> Failure:
    """`failure` with the outcome of each strategy that could be tried; so far, in `progress.trials`, before each."""
    # That a token is repeated shows after many.
    tokens = request.max_new_tokens if failure.type == "RepeatedToken" else TRIAL_TOKENS
    pending = tuple(fix.strategy for fix in failure.explanation.fixes if fix.strategy != request.strategy)
    for place, strategy in enumerate(pending):
        progress.trials = TryingRemedies(failure, pending[place:])
        trial = replace(request, strategy=strategy, max_new_tokens=tokens)
        outcome = backend.try_remedy(trial, progress)
        fixes = tuple(
            _with_code(_tried(fix, outcome), trial, backend.device) if fix.strategy == strategy else fix
            for fix in failure.explanation.fixes
        )
        failure = replace(failure, explanation=replace(failure.explanation, fixes=fixes))
    return failure


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
