"""One measured call of the model under a strategy; its expected failures come back as data."""

from __future__ import annotations

import gc
import math
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from xcomposer_ui.backends import silent_failures
from xcomposer_ui.backends.devices import give_back_cached, synchronize
from xcomposer_ui.backends.memory import meter_of
from xcomposer_ui.backends.prefix_cache import PrefixCache, PromptReader
from xcomposer_ui.backends.silent_failures import FiniteWatch
from xcomposer_ui.backends.timeline_recorder import TimelineRecorder
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure, trace_flow
from xcomposer_ui.core.errors import UserError, out_of_memory
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.models.xcomposer2.answer import GrowingAnswer, answer_text
from xcomposer_ui.models.xcomposer2.cache import CACHE_NAME
from xcomposer_ui.runtime.backend import CallResult, FailureSite, Progress
from xcomposer_ui.tracing.dtype_flow import DtypeFlow

EXPECTED = (RuntimeError, TypeError, ValueError, MemoryError)
"""What a call of the model may raise; running out of memory is a RuntimeError too. Anything else is a bug."""


QUICK_STEP_SEC = 0.1
"""A step of decoding that takes less is stopped soon enough at its token."""


class Stopped(BaseException):
    """Raised inside the model to end a run in the middle of a forward. Nothing that guards the model catches it."""


class TokenClock:
    """A streamer for `generate`: notes each token and its time.

    each: called at each token, for measuring. The time that noting and measuring take is counted in `apart_sec`, and
    the clock goes on as if they had taken none. first_at, last_at: seconds of `now`; None before the first token.
    step_sec: from the token before the last to the last.
    """

    def __init__(self, stop: Callable[[], bool], each: Callable[[], None]) -> None:
        self.ids: list[int] = []
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.step_sec = math.inf
        self.apart_sec = 0.0
        self._still_at: float | None = None  # where the clock stands while something is done apart
        self._stop, self._each = stop, each
        self._prompt_seen = False

    def now(self) -> float:
        """Seconds since some moment, the measuring's own left out."""
        return time.perf_counter() - self.apart_sec if self._still_at is None else self._still_at

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:  # `generate` hands over the prompt first
            self._prompt_seen = True
            return
        began = time.perf_counter()
        now = began - self.apart_sec
        if self.last_at is None:
            self.first_at = now
        else:
            self.step_sec = now - self.last_at
        self.last_at = self._still_at = now
        try:  # as in `apart`, which itself would take of a small model's token
            self.ids += value.tolist()
            self._each()
            if self._stop():
                raise Stopped
        finally:
            self._still_at = None
            self.apart_sec += time.perf_counter() - began

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within, the clock stands still."""
        began = time.perf_counter()
        self._still_at = self.now()
        try:
            yield
        finally:
            self._still_at = None
            self.apart_sec += time.perf_counter() - began

    def end(self) -> None:
        """Nothing to flush."""


def answer(
    model: Any,
    tokenizer: Any,
    question: Request,
    strategy: Strategy,
    half: str,
    progress: Progress,
    others: int = 0,
    conversations: PrefixCache | None = None,
) -> CallResult:
    """Ask `model`, whose weights are in the strategy's dtype. others: bytes of other weights on the device.

    The clock runs from the picture's pixels to the last token. Stops between two blocks when `progress.stop` is set.
    conversations: where a question with a history may find what its earlier turns have in common with it.
    """
    kept = PrefixCache(most=0) if conversations is None else conversations
    meter = meter_of(model, others)
    pixels = partial(picture_pixels, model, question, strategy, half)
    opening = PromptReader(model, tokenizer, question, (strategy.name, half), pixels, kept)

    def each() -> None:
        meter.token(cache_bytes)
        watch.look()
        timeline.token()
        if clock.step_sec < QUICK_STEP_SEC:  # the stop is looked for at each token too
            blocks.release()

    def cache_bytes() -> int:
        return opening.cache.nbytes

    def block(module: nn.Module) -> None:
        if clock.first_at is None:  # each token of the answer has its own sample
            with clock.apart():
                timeline.block(module)

    watch = FiniteWatch()
    clock = TokenClock(progress.stop.is_set, each)
    blocks = BlockWatch(model, progress, block)
    timeline = TimelineRecorder(model, meter, clock.now, lambda: opening.unseen_bytes(meter))
    so_far = GrowingAnswer(tokenizer)
    progress.text, progress.memory = lambda: so_far.text(clock.ids), timeline.so_far
    failure: tuple[str, str, str] | None = None
    stopped = False
    started = ended = clock.now()
    try:
        with meter, watch.on(model), blocks, arithmetic(strategy, half, model.device.type):
            torch.manual_seed(question.seed)
            started = clock.now()
            timeline.start(question.image is not None)
            try:
                inputs = opening.read()
                model.answer_ids(tokenizer, inputs, streamer=clock, **{CACHE_NAME: opening.cache}, **sampling(question))
            finally:
                synchronize(model.device.type)
                ended = clock.now()
                timeline.end()
    except Stopped:
        stopped = True
    except EXPECTED as error:
        failure = type(error).__name__, str(error), without_folders("".join(traceback.format_exception(error)))
        # The frames hold the activations; without them the memory of a failed run is given back at once.
        traceback.clear_frames(error.__traceback__)
    inputs = {}  # what runs again below finds room where these were
    finite = failure is None and watch.finished()
    opening.close(keep=bool(clock.ids) and finite)
    if failure or stopped:
        free_unused(model.device.type)
    measurement = Measurement(
        latency_sec=ended - started if clock.ids and not failure else None,
        time_to_first_token_sec=None if clock.first_at is None else clock.first_at - started,
        tokens_per_sec=decoding_rate(clock),
        peak_memory_bytes=opening.peak_bytes(meter),
        peak_memory_kind=meter.kind if meter.peak_bytes is not None else None,
        prompt_tokens=opening.prompt_tokens,
        new_tokens=len(clock.ids) if clock.ids else None,
        weights_bytes=meter.weights_bytes,
        reused_tokens=opening.reused_tokens,
        reused_picture=opening.reused_picture,
    )
    went = timeline.so_far()
    if failure:
        kind, message, text = failure
        # After running out of memory, a traced run would only run out again.
        traceable = not out_of_memory(*failure[:2])
        site = find_site(model, tokenizer, question, strategy, half, progress) if traceable else FailureSite()
        return CallResult(measurement, failure_type=kind, message=message, traceback=text, site=site, timeline=went)
    if not stopped and not finite:
        flow = traced_values(model, tokenizer, question, strategy, half, len(clock.ids))
        non_finite, site = silent_failures.non_finite_site(flow)
        return CallResult(
            measurement, failure_type=silent_failures.NON_FINITE, message=non_finite, site=site, timeline=went
        )
    said = answer_text(tokenizer, clock.ids)
    if not stopped and (times := silent_failures.repeated_to_the_end(clock.ids, question.max_new_tokens)):
        repeated = Message("silent.repeated", times=times, end=said[-40:])
        return CallResult(measurement, failure_type=silent_failures.REPEATED, message=repeated, timeline=went)
    if not stopped and not said.strip():
        empty = Message("silent.empty")
        return CallResult(measurement, failure_type=silent_failures.EMPTY, message=empty, timeline=went)
    return CallResult(measurement, answer=said, stopped=stopped, timeline=went)


def find_site(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, progress: Progress
) -> FailureSite:
    """Run once more, traced, to see where it fails: a trace is too slow to be on in every run."""

    def again() -> None:
        torch.manual_seed(question.seed)
        model.answer_ids(tokenizer, prompt(model, tokenizer, question, strategy, half), **sampling(question))

    try:
        with BlockWatch(model, progress), arithmetic(strategy, half, model.device.type):
            return trace_failure(again, model) or FailureSite()
    except Stopped:
        return FailureSite()


def traced_values(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, tokens: int
) -> DtypeFlow:
    """The run once more, as far as its first `tokens`, with each module's largest value."""
    shorter = replace(question, max_new_tokens=max(1, tokens))
    return flow(model, tokenizer, shorter, strategy, half, Progress(), values=True)


def flow(
    model: Any,
    tokenizer: Any,
    question: Request,
    strategy: Strategy,
    half: str,
    progress: Progress,
    *,
    values: bool = False,
) -> DtypeFlow:
    """A traced run: each module's dtypes, with `values` its largest value too. Empty where it was stopped."""

    def again() -> None:
        torch.manual_seed(question.seed)
        model.answer_ids(tokenizer, prompt(model, tokenizer, question, strategy, half), **sampling(question))

    try:
        with BlockWatch(model, progress), arithmetic(strategy, half, model.device.type):
            return trace_flow(again, model, values=values, expected=EXPECTED)
    except Stopped:
        return DtypeFlow(())
    finally:
        free_unused(model.device.type)


def prompt(model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str) -> dict[str, Tensor]:
    """The question as the model's inputs, read in one piece."""
    pixels = None if question.image is None else picture_pixels(model, question, strategy, half)
    inputs: dict[str, Tensor] = model.prompt_inputs(tokenizer, question.text, pixels, question.history)
    return inputs


def picture_pixels(model: Any, question: Request, strategy: Strategy, half: str) -> Tensor:
    """The picture's pixels in the strategy's dtype. The one cast of the lab.

    Raises UserError where tiles are asked for and the model has none: of some checkpoints only the weights tell.
    """
    if question.hd_num is not None and model.config.tiles is None:
        raise UserError("no_tiles")
    pixels: Tensor = model.preprocess(question.image, question.hd_num).to(getattr(torch, strategy.image_dtype(half)))
    return pixels


@contextmanager
def arithmetic(strategy: Strategy, half: str, device_type: str) -> Iterator[None]:
    """torch.autocast to the half type where the strategy has it; float32 is float32 throughout.

    By default cuDNN computes float32 convolutions in TF32, with 10 bits of mantissa. The vision tower begins with one:
    on an H200 its features then differ from float32's by up to 1.6e-3, sixteen times the bound of the fidelity cases.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        with torch.autocast(device_type, getattr(torch, half)) if strategy.autocast else nullcontext():
            yield
    finally:
        cudnn.allow_tf32 = before


def sampling(question: Request) -> dict[str, Any]:
    """The question's settings as `answer_ids` takes them; temperature 0 is greedy."""
    settings: dict[str, Any] = {
        "do_sample": question.temperature > 0,
        "max_new_tokens": question.max_new_tokens,
        "repetition_penalty": question.repetition_penalty,
    }
    if question.temperature > 0:
        settings.update(temperature=question.temperature, top_p=question.top_p)
    return settings


def decoding_rate(clock: TokenClock) -> float | None:
    """Tokens per second after the first one; None below two tokens."""
    if clock.first_at is None or clock.last_at is None or len(clock.ids) < 2:
        return None
    return (len(clock.ids) - 1) / (clock.last_at - clock.first_at)


class BlockWatch:
    """Within, every block of the model first looks whether the run was stopped: prefill alone may take a minute.

    each: called with each block besides, before it computes.
    """

    def __init__(self, model: nn.Module, progress: Progress, each: Callable[[nn.Module], None] | None = None) -> None:
        self._model, self._progress, self._each = model, progress, each
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> BlockWatch:
        blocks = [m for m in self._model.modules() if type(m).__name__ in self._model._no_split_modules]
        self._hooks = [block.register_forward_pre_hook(self._look) for block in blocks]
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Look no more: a module without hooks is called in half the time, which a small model notices."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _look(self, block: nn.Module, _: Any) -> None:
        if self._progress.stop.is_set():
            raise Stopped
        if self._each is not None:
            self._each(block)


def without_folders(text: str) -> str:
    """A traceback with each file named from its package on: where this machine keeps them is nobody's business."""
    return re.sub(
        r'File "[^"]*/(?:(?:site|dist)-packages/|python3\.\d+/(?!site|dist)|(?=xcomposer_ui/))', 'File "', text
    )


def free_unused(device_type: str) -> None:
    """Give back what a failed or stopped run held."""
    gc.collect()
    give_back_cached(device_type)
