"""One measured call of the model for several questions, as many as fit into memory."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends import silent_failures
from xcomposer_ui.backends.arithmetic import EXPECTED, arithmetic, prompt, sampling
from xcomposer_ui.backends.decoding import Decoding
from xcomposer_ui.backends.device_timing import bandwidth_share
from xcomposer_ui.backends.devices import free_unused
from xcomposer_ui.backends.graph_decoder import GraphDecoder, StepKey
from xcomposer_ui.backends.memory import Meter, meter_of
from xcomposer_ui.backends.run_control import BlockWatch, PausableClock, Stopped
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.models.cache import CACHE_NAME, PreallocatedCache
from xcomposer_ui.runtime.backend import BatchCallResult, CallResult, Progress

RunSingle = Callable[[Request], CallResult]
"""Runs one question by itself."""


class BatchClock(PausableClock):
    """A streamer for `generate` on several rows: records each step's time, and raises Stopped in a stopped run."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        super().__init__()
        self.times: list[float] = []
        self._stop = stop
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:  # `generate` passes the prompt first
            self._prompt_seen = True
            return
        self.times.append(self.now())
        if self._stop():
            raise Stopped

    def end(self) -> None:
        """Nothing to flush."""


class FiniteRows:
    """Records whether the logits of each row were finite, step by step."""

    def __init__(self) -> None:
        self._steps: list[Tensor] = []

    def on(self, model: Any) -> AbstractContextManager[None]:
        """A context in which every logits tensor that `model` computes is checked."""
        return silent_failures.each_logits(model, self._note)

    def finite(self, row: int, tokens: int) -> bool:
        """Whether all logits from which the row's first `tokens` were chosen were finite."""
        return all(bool(step[row]) for step in self._steps[:tokens])

    def _note(self, logits: Tensor) -> None:
        self._steps.append(torch.isfinite(logits).flatten(1).all(dim=1))  # (B,)


def answer_batch(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Request],
    progress: Progress,
    run_single: RunSingle,
    decoder: GraphDecoder,
    others: int = 0,
) -> BatchCallResult:
    """Answer `questions` in one call, or the first half, quarter, … of them if memory runs out.

    The questions have the same settings, and are greedy. If the call fails for another reason, or a row fails
    silently, `run_single` runs each question by itself, so that its own failure is explained. There are fewer results
    than questions if the batch was stopped.

    Args:
        decoder: the steps that earlier runs recorded.
        others: bytes of other weights on the device.
    """
    progress.text = lambda: ""  # the answers are known at the end
    size = len(questions)
    while size > 1:
        if progress.stop.is_set():
            return BatchCallResult((), size)
        rows, ran_out = _call_model(model, tokenizer, questions[:size], progress, decoder, others)
        if not ran_out:
            return BatchCallResult(_complete(rows, questions[:size], progress, run_single), size)
        size //= 2
    return BatchCallResult(_complete([None], questions[:1], progress, run_single), 1)


@dataclass(frozen=True)
class _Call:
    """One call of the model on several questions.

    ids: each row's tokens, up to its end token. prompts: each row's number of prompt tokens. started, times: of the
    call and of each step, in seconds. meter, decoding: of the whole call.
    """

    ids: list[list[int]]
    prompts: list[int]
    started: float
    times: list[float]
    meter: Meter
    finite: FiniteRows
    decoding: Decoding


def _complete(
    rows: Sequence[CallResult | None], questions: Sequence[Request], progress: Progress, run_single: RunSingle
) -> tuple[CallResult, ...]:
    """The result of each question up to a stop; one whose row is None is run by itself."""
    results: list[CallResult] = []
    for row, question in zip(rows, questions, strict=True):
        result = row or (None if progress.stop.is_set() else run_single(question))
        if result is None or result.stopped:
            break
        results.append(result)
    return tuple(results)


def _call_model(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Request],
    progress: Progress,
    decoder: GraphDecoder,
    others: int,
) -> tuple[list[CallResult | None], bool]:
    """(each question's result, None if it has to be run by itself; whether memory ran out)."""
    strategy, half = questions[0].method, questions[0].half_dtype
    meter = meter_of(model, others)
    clock, finite = BatchClock(progress.stop.is_set), FiniteRows()
    call: _Call | None = None
    ran_out = False
    started = clock.now()
    decoding = Decoding(decoder, model, StepKey.of(questions[0], len(questions)), PreallocatedCache(), clock.paused)
    try:
        in_strategy = arithmetic(model, strategy, half, questions[0].stress_exponent)
        with meter, finite.on(model), BlockWatch(model, progress), in_strategy:
            rows = [prompt(model, tokenizer, question, strategy, half) for question in questions]
            prompts = [next(iter(row.values())).shape[1] for row in rows]
            cache = {CACHE_NAME: decoding.cache}
            ids = model.batch_ids(tokenizer, rows, streamer=clock, **cache, **sampling(questions[0]))
            call = _Call(ids, prompts, started, clock.times, meter, finite, decoding)
    except Stopped:
        pass  # a stopped batch has no results
    except EXPECTED as error:
        ran_out = out_of_memory(type(error).__name__, str(error))
        traceback.clear_frames(error.__traceback__)  # they reference the activations
    if call is None:
        decoding.close()
        free_unused(model.device.type)
        return [None] * len(questions), ran_out
    results = [_row_result(call, n, question, model, tokenizer) for n, question in enumerate(questions)]
    decoding.close()
    return results, False


def _row_result(call: _Call, row: int, question: Request, model: Any, tokenizer: Any) -> CallResult | None:
    """The result of one row; None if it failed silently."""
    ids = call.ids[row]
    text = model.answer_text(tokenizer, ids)
    repeated = silent_failures.repeated_to_the_end(ids, question.max_new_tokens)
    if not call.finite.finite(row, len(ids)) or repeated or not text.strip():
        return None
    return CallResult(_measurement(call, row, model), answer=text, reasons=call.decoding.reasons)


def _measurement(call: _Call, row: int, model: Any) -> Measurement:
    """A row's figures; the memory peak is the whole batch's."""
    count = len(call.ids[row])
    first, last = call.times[0], call.times[count - 1]
    peak_bytes, kind = call.meter.peak_bytes, call.meter.kind
    tokens_per_sec = (count - 1) / (last - first) if count > 1 else None
    return Measurement(
        latency_sec=last - call.started,
        time_to_first_token_sec=first - call.started,
        tokens_per_sec=tokens_per_sec,
        peak_memory_bytes=None if peak_bytes is None else peak_bytes + call.decoding.correction_bytes(kind),
        peak_memory_kind=None if peak_bytes is None else kind,
        prompt_tokens=call.prompts[row],
        new_tokens=count,
        weights_bytes=call.meter.weights_bytes,
        batch_size=len(call.ids),
        **call.decoding.facts,
        bandwidth_share=bandwidth_share(model, tokens_per_sec),
    )
