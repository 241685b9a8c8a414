"""What the runner has computed with a loaded backend, as functions that can be sent to another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.events import FinishedBatch
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.runtime.backend import Backend, CallResult, Progress
from xcomposer_ui.runtime.remedies import Tried, failure_of
from xcomposer_ui.tracing.dtype_flow import DtypeFlow


def answer(backend: Backend, progress: Progress, request: Request, half_reason: Sentence) -> RunResult:
    """Answer one request; a failure is explained and its remedies are tried."""
    load_sec = backend.load(request.weights_dtype, progress)
    result = backend.generate(request, progress)
    return _run_result(request, half_reason, backend, result, load_sec, progress, {})


def answer_batch(
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
    """Measure the distance of each (strategy, half) from full precision."""
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
        failure=failure_of(result, backend, request, progress, tried),
        stopped=result.stopped,
        reasons={**backend.reasons, **result.reasons, "half": half_reason},
        picture_size=request.picture_size,
        revision=backend.revision,
        timeline=result.timeline,
        tokens=result.tokens,
    )
