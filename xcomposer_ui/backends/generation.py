"""One measured call of the model; its expected failures are returned as data."""

from __future__ import annotations

import re
import traceback
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from xcomposer_ui.backends import silent_failures
from xcomposer_ui.backends.arithmetic import EXPECTED, ModelRun, sampling
from xcomposer_ui.backends.decoding import Decoding
from xcomposer_ui.backends.devices import free_unused, synchronize
from xcomposer_ui.backends.graph_decoder import EAGER, GraphDecoder, decoder_for
from xcomposer_ui.backends.memory import meter_of
from xcomposer_ui.backends.prefix_cache import PrefixCache, PromptReader
from xcomposer_ui.backends.run_control import (
    BlockWatch,
    DeviceClock,
    Stopped,
    TokenClock,
    bandwidth_share,
    tokens_per_sec,
)
from xcomposer_ui.backends.silent_failures import FiniteWatch, each_logits
from xcomposer_ui.backends.timeline_recorder import TimelineRecorder
from xcomposer_ui.backends.tracing.dtype_trace import find_site, traced_flow
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import AnswerTokens, Measurement
from xcomposer_ui.models.cache import CACHE_NAME
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.tracing.dtype_flow import FailureSite

SHORT_STEP_SEC = 0.1
"""Longest decoding step for which checking for a stop once a token, without hooks on the blocks, is enough."""


def answer(
    run: ModelRun,
    progress: Progress,
    others: int = 0,
    decoder: GraphDecoder | None = None,
    prefixes: PrefixCache | None = None,
) -> CallResult:
    """The measured result of `run`.

    The latency is from the picture's pixels to the last token. The run ends between two blocks if `progress.stop` is
    set.

    Args:
        others: bytes of other weights on the device.
        decoder: the steps that earlier runs recorded; None for eager decoding.
        prefixes: the KV caches of earlier turns, which a question with a history reuses.
    """
    model, tokenizer, question = run.model, run.tokenizer, run.question
    call = _MeasuredCall(run, progress, others, decoder, prefixes)
    stopped, failure = call.run()
    finite = failure is None and call.finite.finished()
    measurement = call.close(keep=finite, failed=failure is not None)
    if failure or stopped:
        free_unused(model.device.type)
    result = partial(
        CallResult, measurement, timeline=call.timeline.so_far(), reasons={"decoder": call.decoding.reason}
    )
    ids = call.clock.ids
    if failure:
        kind, message, text = failure
        # After running out of memory, a traced run would run out again.
        site = FailureSite() if out_of_memory(kind, message) else find_site(run, progress)
        return result(failure_type=kind, message=message, traceback=text, site=site)
    if not stopped and not finite:
        shorter = replace(run, question=replace(question, max_new_tokens=max(1, len(ids))))
        flow = traced_flow(shorter, Progress(), values=True)
        non_finite, site = silent_failures.non_finite_site(flow)
        return result(failure_type=silent_failures.NON_FINITE, message=non_finite, site=site)
    text = model.answer_text(tokenizer, ids)
    if not stopped and (times := silent_failures.repeated_to_the_end(ids, question.max_new_tokens)):
        repeated = Message("silent.repeated", times=times, end=text[-40:])
        return result(failure_type=silent_failures.REPEATED, message=repeated)
    if not stopped and not text.strip():
        return result(failure_type=silent_failures.EMPTY, message=Message("silent.empty"))
    return result(answer=text, stopped=stopped, tokens=None if stopped else call.tokens())


class _MeasuredCall:
    """One call of the model, with its clock, memory meter, finite check and timeline."""

    def __init__(
        self, run: ModelRun, progress: Progress, others: int, decoder: GraphDecoder | None, prefixes: PrefixCache | None
    ) -> None:
        self._run, self._model = run, (model := run.model)
        self.reader = PromptReader(run, PrefixCache(most=0) if prefixes is None else prefixes)
        self.meter = meter_of(model, others)
        self.finite = FiniteWatch()
        self.clock = TokenClock(progress.stop.is_set, self._each_token)
        self.blocks = BlockWatch(model, progress, self._each_block)
        self.timeline = TimelineRecorder(model, self.meter, self.clock.now, self._correction_bytes)
        self.device_clock = DeviceClock(model.device)
        self._final_correction_bytes: int | None = None
        self._decoder = decoder or decoder_for(EAGER, model.device.type)
        self.decoding = self._decoding()
        self._started = self._ended = self.clock.now()
        so_far = model.growing_answer(run.tokenizer)
        ids = self.clock.ids
        progress.text, progress.memory = lambda: so_far.text(ids), self.timeline.so_far

    def run(self) -> tuple[bool, tuple[str, str, str] | None]:
        """(whether it was stopped, the expected failure as type, message and traceback)."""
        run, model, question = self._run, self._model, self._run.question
        on_card = self.device_clock.on(model)
        try:
            with self.meter, each_logits(model, self.finite.note), self.blocks, run.arithmetic(), on_card:
                torch.manual_seed(question.seed)
                self._started = self.clock.now()
                self.timeline.start(question.image is not None)
                try:
                    inputs = self.reader.read()
                    self.decoding = self._decoding()
                    cache = {CACHE_NAME: self.decoding.cache}
                    model.answer_ids(run.tokenizer, [inputs], streamer=self.clock, **cache, **sampling(question))
                finally:
                    synchronize(model.device.type)
                    self._ended = self.clock.now()
                    self.timeline.end()
        except Stopped:
            return True, None
        except EXPECTED as error:
            failure = type(error).__name__, str(error), without_folders("".join(traceback.format_exception(error)))
            # The frames reference the activations: clearing them frees the memory of a failed run at once.
            traceback.clear_frames(error.__traceback__)
            return False, failure
        return False, None

    def close(self, keep: bool, failed: bool) -> Measurement:
        """Return the figures; if `keep`, add the prompt to the prefix cache."""
        clock, reader = self.clock, self.reader
        rate = tokens_per_sec(clock.times)
        self._final_correction_bytes = self._correction_bytes()
        reader.close(keep=bool(clock.ids) and keep)
        self.decoding.close()
        return Measurement(
            latency_sec=self._ended - self._started if clock.ids and not failed else None,
            time_to_first_token_sec=clock.times[0] - self._started if clock.times else None,
            tokens_per_sec=rate,
            prompt_tokens=reader.prompt_tokens,
            new_tokens=len(clock.ids) if clock.ids else None,
            reused_tokens=reader.reused_tokens,
            reused_picture=reader.reused_picture,
            **self.meter.figures(self._final_correction_bytes),
            decoder=self.decoding.way,
            record_sec=self.decoding.record_sec,
            **self.device_clock.figures(recorded=self.decoding.record_sec is not None),
            bandwidth_share=bandwidth_share(self._model, rate),
        )

    def tokens(self) -> AnswerTokens:
        """The tokens of the answer, with probabilities of seven digits, float32's precision."""
        ids = self._model.until_end(self._run.tokenizer, self.clock.ids)
        texts = tuple(self._model.answer_text(self._run.tokenizer, [token]) for token in ids)
        logarithms = self.finite.log_probabilities[: len(ids)]
        return AnswerTokens(tuple(ids), texts, tuple(float(f"{value:.7g}") for value in logarithms))

    def _decoding(self) -> Decoding:
        key = self._run.arithmetic_key, 1
        return Decoding(self._decoder, self._model, key, self.reader.cache, self.clock.paused)

    def _correction_bytes(self) -> int:
        """Bytes to add to the meter's figures."""
        if self._final_correction_bytes is not None:
            return self._final_correction_bytes
        return self.reader.correction_bytes(self.meter) + self.decoding.correction_bytes(self.meter.kind)

    def _each_token(self) -> None:
        self.meter.token(self._cache_bytes)
        self.finite.accumulate(self.clock.ids[-1])
        self.timeline.token()
        if self.clock.step_sec < SHORT_STEP_SEC:  # a stop is noticed at each token too
            self.blocks.release()

    def _each_block(self, module: nn.Module) -> None:
        if not self.clock.times:  # each token of the answer has its own sample
            with self.clock.paused():
                self.timeline.block(module)

    def _cache_bytes(self) -> int:
        return self.reader.cache.nbytes + self.decoding.nbytes


def without_folders(text: str) -> str:
    """The traceback `text` with file names that start at their package, without this machine's folders."""
    return re.sub(
        r'File "[^"]*/(?:(?:site|dist)-packages/|python3\.\d+/(?!site|dist)|(?=xcomposer_ui/))', 'File "', text
    )
