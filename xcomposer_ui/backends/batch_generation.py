"""One measured call of the model for several questions, as many as fit into memory."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from xcomposer_ui.backends import silent_failures
from xcomposer_ui.backends.arithmetic import EXPECTED, ModelRun, sampling
from xcomposer_ui.backends.decoding import Decoding
from xcomposer_ui.backends.devices import free_unused
from xcomposer_ui.backends.generation import answer
from xcomposer_ui.backends.graph_decoder import GraphDecoder
from xcomposer_ui.backends.memory import Meter, meter_of
from xcomposer_ui.backends.run_control import BlockWatch, Stopped, TokenClock, bandwidth_share, tokens_per_sec
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.models.cache import CACHE_NAME, PreallocatedCache
from xcomposer_ui.runtime.backend import BatchCallResult, CallResult, Progress


def answer_batch(runs: Sequence[ModelRun], progress: Progress, others: int, decoder: GraphDecoder) -> BatchCallResult:
    """Answer the questions of `runs`, of one model, in one call, or the first half, quarter, … if memory runs out.

    The questions have the same settings, and are greedy. If the call fails for another reason, or a row fails
    silently, each question is run by itself, so that its own failure is explained. There are fewer results than
    questions if the batch was stopped.

    Args:
        others: bytes of other weights on the device.
        decoder: the steps that earlier runs recorded.
    """
    progress.text = lambda: ""  # the answers are known at the end
    run_single = partial(answer, progress=progress, others=others, decoder=decoder)
    size = len(runs)
    while size > 1:
        if progress.stop.is_set():
            return BatchCallResult((), size)
        rows, ran_out = _call_model(runs[:size], progress, others, decoder)
        if not ran_out:
            return BatchCallResult(_complete(rows, runs[:size], progress, run_single), size)
        size //= 2
    return BatchCallResult(_complete([None], runs[:1], progress, run_single), 1)


@dataclass(frozen=True)
class _Call:
    """One call of the model on several questions.

    ids: each row's tokens, up to its end token. prompts: each row's number of prompt tokens. started, times: of the
    call and of each step, in seconds. finite: of each step, whether each row's logits were, (B,). meter, decoding: of
    the whole call.
    """

    ids: list[list[int]]
    prompts: list[int]
    started: float
    times: list[float]
    meter: Meter
    finite: list[Tensor]
    decoding: Decoding


def _complete(
    rows: Sequence[CallResult | None],
    runs: Sequence[ModelRun],
    progress: Progress,
    run_single: Callable[[ModelRun], CallResult],
) -> tuple[CallResult, ...]:
    """The result of each question up to a stop; one whose row is None is run by itself."""
    results: list[CallResult] = []
    for row, run in zip(rows, runs, strict=True):
        result = row or (None if progress.stop.is_set() else run_single(run))
        if result is None or result.stopped:
            break
        results.append(result)
    return tuple(results)


def _call_model(
    runs: Sequence[ModelRun], progress: Progress, others: int, decoder: GraphDecoder
) -> tuple[list[CallResult | None], bool]:
    """(each question's result, None if it has to be run by itself; whether memory ran out)."""
    model, tokenizer, question = runs[0].model, runs[0].tokenizer, runs[0].question
    meter, clock = meter_of(model, others), TokenClock(progress.stop.is_set)
    finite: list[Tensor] = []

    def note(logits: Tensor) -> None:
        finite.append(logits.isfinite().flatten(1).all(dim=1))  # (B,)

    call: _Call | None = None
    ran_out = False
    started = clock.now()
    decoding = Decoding(decoder, model, (runs[0].arithmetic_key, len(runs)), PreallocatedCache(), clock.paused)
    try:
        with meter, silent_failures.each_logits(model, note), BlockWatch(model, progress), runs[0].arithmetic():
            rows = [run.prompt() for run in runs]
            prompts = [next(iter(row.values())).shape[1] for row in rows]
            cache = {CACHE_NAME: decoding.cache}
            ids = model.answer_ids(tokenizer, rows, streamer=clock, **cache, **sampling(question))
            call = _Call(ids, prompts, started, clock.times, meter, finite, decoding)
    except Stopped:
        pass  # a stopped batch has no results
    except EXPECTED as error:
        ran_out = out_of_memory(type(error).__name__, str(error))
        traceback.clear_frames(error.__traceback__)  # they reference the activations
    if call is None:
        decoding.close()
        free_unused(model.device.type)
        return [None] * len(runs), ran_out
    results = [_row_result(call, n, run) for n, run in enumerate(runs)]
    decoding.close()
    return results, False


def _row_result(call: _Call, row: int, run: ModelRun) -> CallResult | None:
    """The result of one row, whose memory peak is the whole batch's; None if it failed silently."""
    ids = call.ids[row]
    text = run.model.answer_text(run.tokenizer, ids)
    repeated = silent_failures.repeated_to_the_end(ids, run.question.max_new_tokens)
    finite = all(bool(step[row]) for step in call.finite[: len(ids)])
    if not finite or repeated or not text.strip():
        return None
    times = call.times[: len(ids)]
    rate = tokens_per_sec(times)
    measurement = Measurement(
        latency_sec=times[-1] - call.started,
        time_to_first_token_sec=times[0] - call.started,
        tokens_per_sec=rate,
        prompt_tokens=call.prompts[row],
        new_tokens=len(ids),
        batch_size=len(call.ids),
        **call.meter.figures(call.decoding.correction_bytes(call.meter.kind)),
        decoder=call.decoding.way,
        record_sec=call.decoding.record_sec,
        bandwidth_share=bandwidth_share(run.model, rate),
    )
    return CallResult(measurement, answer=text, reasons={"decoder": call.decoding.reason})
