"""A runner that plays a script: the real interface, no model, for what a real one does not do on demand."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

from tests.finetuning.scripted import ScriptedTrainer
from tests.planning.machines import facts
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, Loading, Status, TextSoFar, TryingRemedies, Waiting
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import (  # fmt: skip
    PARAMETER,
    AnswerTokens,
    Explanation,
    Failure,
    Fix,
    Measurement,
    Operand,
    Reference,
    RunResult,
)
from xcomposer_ui.core.strategies import strategy_named
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned
from xcomposer_ui.planning.default_choices import Machine
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.hardware import checked
from xcomposer_ui.tracing.dtype_flow import Cast, DtypeFlow, FailureSite, ModuleCall, Traced, Tracing

MESSAGE = "mat1 and mat2 must have the same dtype, but got Float and Half"

FAILURE = Failure(
    type="RuntimeError",
    message=MESSAGE,
    module="vision_proj.0",
    operation="aten.addmm",
    operands=(
        Operand("vision_proj.0.bias", "float16", PARAMETER, (128,)),
        Operand("activation", "float32", "aten._to_copy in vit, which casts its features back", (64, 64)),
        Operand("vision_proj.0.weight", "float16", PARAMETER, (128, 64)),
    ),
    explanation=Explanation(
        recognised=True,
        family="linear",
        title="A float32 activation meets float16 weights",
        cause="The picture stayed float32 while the weights are float16, and this product takes one dtype only.",
        dtypes=("float32", "float16"),
        fixes=(
            Fix("as_is", False, "It is what failed."),
            Fix("autocast", True, "It casts both operands to float16.", tried=True),
            Fix("unified", True, "The picture is float16 from the start."),
            Fix("full", None, "If float32 weights fit into memory."),
        ),
        clash=True,
        references=(Reference("The published write-up", "https://example.org/write-up"), Reference("A book")),
    ),
    traceback="Traceback (most recent call last): …",
)


def scripted_tokens(answer: str, strategy: str) -> AnswerTokens:
    """The words of `answer` as tokens; less likely by a thousandth than under full precision."""
    texts = (*answer.split(" "), "")
    probability = 0.9 if strategy == "full" else 0.9 * 0.999
    ids = tuple(sum(word.encode()) for word in texts)
    return AnswerTokens(ids, texts, (math.log(probability),) * len(texts))


REMEDIES = ("autocast", "unified", "full")


def scripted_flow(strategy: str, half: str) -> DtypeFlow:
    """A flow of the model's outline: under as_is it ends in the projector."""
    chosen = strategy_named(strategy)
    weights, given = (chosen.weights_dtype(half),), (chosen.image_dtype(half),)
    failed = strategy == "as_is"
    out = () if failed else (half,) if chosen.autocast else weights
    calls = [
        ModuleCall(0, "vit", "VisionTower", 0, given, given, ()),
        ModuleCall(1, "vit.patch", "Conv2d", 1, weights, weights, weights),
        ModuleCall(2, "vision_proj", "Sequential", 0, given, out, (), failed=failed),
        ModuleCall(3, "vision_proj.0", "Linear", 1, given, out, weights, failed=failed),
    ]
    if failed:
        clash = FailureSite(FAILURE.module, FAILURE.operation, FAILURE.operands)
        return DtypeFlow(tuple(calls), f"RuntimeError: {MESSAGE}", clash=clash)
    widen, narrow = Cast("aten._to_copy", half, "float32"), Cast("aten._to_copy", "float32", half)
    calls += [
        ModuleCall(4, "model.layers.0", "Block", 0, weights, weights, ()),
        ModuleCall(5, "model.layers.0.norm", "RMSNorm", 1, weights, weights, weights, casts=(widen, narrow)),
        ModuleCall(6, "output", "Linear", 0, weights, weights, weights),
    ]
    return DtypeFlow(tuple(calls))


MEASURED = Measurement(
    load_sec=None, latency_sec=0.842, time_to_first_token_sec=0.213, tokens_per_sec=31.4,
    peak_memory_bytes=15_414_067, peak_memory_kind="cpu_tensors", prompt_tokens=84, new_tokens=9,
)  # fmt: skip


@dataclass
class ScriptedRunner:
    """Answers every question in words, a word at a time; under `as_is` with a picture it fails.

    answer: what it says. pause_sec: between words. before: events that come first.
    held_at: how many words of an answer, or trials of remedies, come before it waits for `go`; it can be stopped while
    it waits.
    refuse: a user's mistake to raise instead. asked, closed: what it was asked, and how many runs were stopped.
    """

    answer: Callable[[Request], str] = lambda question: f"You asked: {question.text}"
    pause_sec: float = 0.0
    held_at: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    before: tuple[Event, ...] = ()
    refuse: UserError | None = None
    known: bool = True
    has_room: MemoryBudget | None = None
    asked: list[Request] = field(default_factory=list)
    traced: list[Request] = field(default_factory=list)
    closed: int = 0
    forgotten: int = 0
    model: str = "embedded"
    machine: Machine = field(default_factory=lambda: Machine(lambda: checked(facts())))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """As new, once the last run has ended."""
        self.pause_sec = 0.0
        self.go.set()
        assert self.lock.acquire(timeout=60)
        self.lock.release()
        fresh = ScriptedRunner()
        for name in (
            "answer",
            "held_at",
            "go",
            "before",
            "refuse",
            "known",
            "asked",
            "traced",
            "closed",
            "forgotten",
            "model",
        ):
            setattr(self, name, getattr(fresh, name))

    def warm_up(self) -> None:
        self.known = True

    def close(self) -> None:
        pass

    def open(self) -> None:
        self.known = True

    def memory_budget(self) -> MemoryBudget | None:
        return self.has_room

    def forget(self) -> None:
        self.forgotten += 1

    def load(self, model: str, device: str | None = None) -> Generator[Waiting | Loading, None, None]:
        if self.refuse is not None:
            raise self.refuse
        for fraction in (0.1, 0.6):
            yield Loading(model, "float16", fraction, "download")
            time.sleep(self.pause_sec)
        yield Loading(model, "float16", 0.5)
        self.model = model

    def status(self) -> Status:
        if not self.known:
            return Status(self.model, None, None)
        reasons = {"device": "cpu, because there is no CUDA device", "half": "float16, because it is the usual one"}
        return Status(self.model, "cpu", "float16", reasons, ((self.model, "float16"),))

    def resolved(self, request: Request) -> Request:
        half = request.half if request.half in ("float16", "bfloat16") else "float16"
        return replace(request, model=request.model or self.model, half=half)

    def run(self, request: Request) -> Generator[Event, None, None]:
        if self.refuse is not None:
            raise self.refuse
        request = self.resolved(request)
        self.asked.append(request)
        finished = False
        try:
            if not self.lock.acquire(blocking=False):
                yield Waiting()
                self.lock.acquire()
            try:
                yield from self.before
                failure = FAILURE if request.strategy == "as_is" and request.image is not None else None
                text = "" if failure else self.answer(request)
                words = text.split(" ")
                for end in range(1, len(words) + 1 if text else 1):
                    yield TextSoFar(" ".join(words[:end]))
                    time.sleep(self.pause_sec)
                    while end == self.held_at and not self.go.wait(0.3):
                        yield TextSoFar(" ".join(words[:end]))
                trials = range(len(REMEDIES) if failure else 0)
                for trial in trials:
                    yield TryingRemedies(FAILURE, REMEDIES[trial:])
                    while trial == self.held_at and not self.go.wait(0.3):
                        yield TryingRemedies(FAILURE, REMEDIES[trial:])
                finished = True
                yield Finished(
                    RunResult(
                        request, "cpu", Measurement(latency_sec=0.1) if failure else MEASURED,
                        answer=None if failure else text, failure=failure, reasons=self.status().reasons,
                        tokens=None if failure else scripted_tokens(text, request.strategy),
                    )
                )  # fmt: skip
            finally:
                self.lock.release()
        finally:
            self.closed += not finished

    def trace(self, request: Request) -> Generator[Waiting | Tracing | Traced, None, None]:
        request = self.resolved(request)
        self.traced.append(request)
        with self.lock:
            yield Tracing()
            time.sleep(self.pause_sec)
        flow = scripted_flow(request.strategy, request.half_dtype)
        yield Traced(request.strategy, request.half_dtype, str(request.model), "cpu", request.weights_dtype, flow)

    def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
        with self.lock:
            yield from ScriptedTrainer().finetune(request)


LOADING = (Loading("embedded", "float16", None), Loading("embedded", "float16", 0.4))
