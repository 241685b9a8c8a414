"""Runs a question under a strategy: events while it goes, a RunResult at the end. Knows neither torch nor gradio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, FinishedBatch, Loading, Status, Waiting
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import DEVICES, Settings
from xcomposer_ui.core.strategies import checked_half, strategy_named
from xcomposer_ui.planning.fit import MemoryBudget, MemoryRequest, certainly_fits
from xcomposer_ui.planning.hardware import Machine, half_for, strategy_for
from xcomposer_ui.runtime.backend import Backend, CallResult, Progress
from xcomposer_ui.runtime.executor import BEAT_SEC, Job, Result, Worker
from xcomposer_ui.runtime.prepared_run import PreparedRun, checked_for_model
from xcomposer_ui.runtime.remedies import Tried, failure_of
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, Traced, Tracing

TRACED_TOKENS = 2
"""A traced run reads the prompt and takes one step of decoding: what follows takes the same way."""

OpenBackend = Callable[[str, str], Backend]
"""(model's name, "auto" | "cpu" | "cuda" | "mps") to a backend that has loaded nothing yet."""


class Runner:
    """The lab's one way to a model; every face (page, endpoint, command line) goes through it.

    One run at a time: the lock is held for the worker until the run has really ended, whoever has gone.
    """

    def __init__(
        self, settings: Settings, open_backend: OpenBackend | None = None, machine: Machine | None = None
    ) -> None:
        self.settings = settings
        self.machine = machine or Machine()
        self._open_backend = open_backend or _local_backend
        self._backend: Backend | None = None
        self._lock = threading.Lock()
        self._worker = Worker()

    def warm_up(self) -> None:
        """Load what the first run would have to load; takes seconds, so call it in a thread.

        Raises UserError as the first run would.
        """
        self._lock.acquire()
        self._begun(
            lambda progress: bool(self._opened(self.settings.model, None, progress).load(self._half(None)[0], progress))
        ).waited_for()

    def open(self) -> None:
        """Find the device, so that `status` and `room` know it; loads no weights. Takes seconds the first time.

        Raises UserError where there is no such device or model.
        """
        while self._backend is None:
            if self._lock.acquire(timeout=BEAT_SEC):
                try:
                    self._backend = self._backend or self._open_backend(self.settings.model, self.settings.device)
                finally:
                    self._lock.release()

    def status(self) -> Status:
        """Where the lab stands; answers at once and loads nothing."""
        backend = self._backend
        if backend is None:
            return Status(self.settings.model, device=None, half=None)
        half, reason = self._half(None)
        room = self.room()
        strategy, why = strategy_for(
            half,
            backend.device,
            self.machine.known,
            full_fits=room is not None and certainly_fits(backend.model, room),
        )
        loaded = tuple((backend.model, dtype) for dtype in backend.loaded())
        reasons = {**backend.reasons, "half": reason, "strategy": why}
        return Status(backend.model, backend.device, half, reasons, loaded, strategy)

    def room(self) -> MemoryBudget | None:
        """Memory that a run may take; None where nothing is known yet. Answers at once."""
        backend = self._backend
        free = None if backend is None else backend.budget_bytes()
        return None if backend is None or free is None else MemoryBudget(backend.device, free)

    def forget(self) -> None:
        """Let go of what is kept of conversations: the next turn of each is computed whole. Waits for nobody."""
        if self._backend is not None:
            self._backend.forget()

    def load(self, model: str, device: str | None = None) -> Generator[Waiting | Loading, None, None]:
        """Bring `model` into memory with half weights, in the place of the one that is there; ends when it is.

        It is downloaded before the other one is given back. Closing the generator stops a download; files that are
        whole by then are not downloaded again. Raises UserError as `run` does.
        """
        model = self._allowed(model)
        half = self.half()

        def work(progress: Progress) -> bool:
            backend = self._opened(model, device, progress)
            backend.load(half, progress)
            return True

        job = yield from self._started(work)
        try:
            for event in job.events(Loading(model, half)):
                if isinstance(event, (Waiting, Loading)):
                    yield event
        finally:
            job.progress.stop.set()
        job.result()

    def run(
        self,
        question: Question,
        strategy: str,
        half: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Event, None, None]:
        """Yield Waiting, Loading, TextSoFar events, and one Finished last. Closing the generator stops the run.

        half, model, device: None for what the settings say (or "auto").
        Raises UserError for the user's mistakes, before anything is computed.
        """
        asked = self._asked(question, strategy, half, model)
        job = yield from self._started(lambda progress: self._answer(asked, device, progress))
        try:
            yield from job.events(Loading(asked.model, asked.weights_dtype))
        finally:
            job.progress.stop.set()
        yield Finished(job.result())

    def wanted(
        self, question: Question, strategy: str, half: str | None = None, *, model: str | None = None
    ) -> MemoryRequest:
        """The run in the words of planning, to be judged whether it fits. Raises UserError as `run` does."""
        return self._asked(question, strategy, half, model).wanted

    def run_batch(
        self,
        questions: Sequence[Question],
        strategy: str,
        half: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Waiting | Loading | FinishedBatch, None, None]:
        """Ask the first of `questions` at once, as many as fit into memory; the last event is FinishedBatch.

        They have the same settings, and are greedy. Closing the generator stops them. Raises UserError as `run` does.
        """
        all_asked = [self._asked(question, strategy, half, model) for question in questions]
        first = all_asked[0]
        told = Loading(first.model, first.weights_dtype)

        def work(progress: Progress) -> FinishedBatch:
            backend = self._opened(first.model, device, progress)
            load_sec = backend.load(told.dtype, progress)
            batch = backend.answer_first(questions, first.strategy, first.half, progress)
            tried: Tried = {}
            results = [
                _result(asked, backend, outcome, load_sec, progress, tried)
                for asked, outcome in zip(all_asked, batch.outcomes, strict=False)
            ]
            return FinishedBatch(tuple(results), batch.size)

        job = yield from self._started(work)
        try:
            for _ in job.beats():
                if job.progress.text is None:
                    yield replace(told, stage=job.progress.stage, fraction=job.progress.fraction)
        finally:
            job.progress.stop.set()
        yield job.result()

    def half(self, asked: str | None = None) -> str:
        """The 16-bit dtype for `asked` (None or "auto": the lab's choice). Raises UserError where it is none."""
        return self._half(asked)[0]

    def diverge(
        self,
        question: Question,
        variants: Sequence[tuple[str, str]],
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Waiting | Diverging | Diverged, None, None]:
        """Measure how far each (strategy, half) is from full precision; the last event is Diverged.

        Closing the generator stops it. Raises UserError as `run` does.
        """
        chosen = [(strategy_named(strategy), checked_half(half)) for strategy, half in variants]
        model = self._allowed(model)
        question = checked_for_model(question, model)
        job = yield from self._started(
            lambda progress: self._opened(model, device, progress).diverge(question, chosen, progress)
        )
        try:
            for _ in job.beats():
                yield Diverging()
        finally:
            job.progress.stop.set()
        yield Diverged(job.result())

    def trace(
        self,
        question: Question,
        strategy: str,
        half: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Waiting | Tracing | Traced, None, None]:
        """Run once, traced, as far as `TRACED_TOKENS`; the last event is Traced. A failed run's flow is one too.

        Closing the generator stops it. Raises UserError as `run` does.
        """
        asked = self._asked(question, strategy, half, model)

        def work(progress: Progress) -> tuple[str, DtypeFlow]:
            backend = self._opened(asked.model, device, progress)
            backend.load(asked.weights_dtype, progress)
            return backend.device, backend.flow(question, asked.strategy, asked.half, progress, TRACED_TOKENS)

        job = yield from self._started(work)
        try:
            for _ in job.beats():
                yield Tracing()
        finally:
            job.progress.stop.set()
        used, flow = job.result()
        yield Traced(asked.strategy.name, asked.half, asked.model, used, asked.weights_dtype, flow)

    def _started(self, work: Callable[[Progress], Result]) -> Generator[Waiting, None, Job[Result]]:
        """Wait for the model, telling so, then begin `work`; its thread gives the model back when it has ended."""
        while not self._lock.acquire(timeout=BEAT_SEC):
            yield Waiting()
        return self._begun(work)

    def _begun(self, work: Callable[[Progress], Result]) -> Job[Result]:
        """Hand `work` to the worker, and the lock with it: it is given back when the work has ended."""
        job = Job(work)
        try:
            self._worker.do(lambda: job.work(self._lock.release))
        except BaseException:
            self._lock.release()
            raise
        return job

    def _answer(self, asked: PreparedRun, device: str | None, progress: Progress) -> RunResult:
        """The whole work of a run, in the thread that holds the lock."""
        backend = self._opened(asked.model, device, progress)
        load_sec = backend.load(asked.weights_dtype, progress)
        outcome = backend.answer(asked.question, asked.strategy, asked.half, progress)
        return _result(asked, backend, outcome, load_sec, progress, {})

    def _opened(self, model: str, device: str | None, progress: Progress) -> Backend:
        """The backend for `model` on `device`. Another model's weights are given back, once this one's are here."""
        wanted = device or self.settings.device
        if wanted not in DEVICES:
            raise UserError("unknown_setting", name="device", value=wanted, known=", ".join(DEVICES))
        backend = self._backend
        if backend is None or backend.model != model or wanted not in ("auto", backend.device):
            fresh = self._open_backend(model, wanted)
            fresh.fetch(progress)
            if backend is not None:
                backend.unload()
            self._backend = backend = fresh
        return backend

    def _allowed(self, model: str | None) -> str:
        model = model or self.settings.model
        if model not in self.settings.models:
            raise UserError("unknown_model", name=model, known=", ".join(self.settings.models))
        return model

    def _asked(self, question: Question, strategy: str, half: str | None, model: str | None) -> PreparedRun:
        """What a run is asked, judged: all that can be a mistake of the user's before anything is loaded."""
        chosen = strategy_named(strategy)
        half_dtype, reason = self._half(half)
        model = self._allowed(model)
        return PreparedRun(checked_for_model(question, model), chosen, half_dtype, reason, model)

    def _half(self, asked: str | None) -> tuple[str, Sentence]:
        asked = asked or self.settings.half
        if asked == "auto":
            device = self.settings.device if self._backend is None else self._backend.device
            return half_for(device, self.machine.known)
        return checked_half(asked), Message("reason.chosen")


def _result(
    asked: PreparedRun, backend: Backend, outcome: CallResult, load_sec: float | None, progress: Progress, tried: Tried
) -> RunResult:
    """How the run ended; a failure is explained, and its cures are tried, but those that `tried` knows already."""
    failure = failure_of(outcome, backend, asked.question, asked.strategy, asked.half, progress, tried)
    return asked.ended(backend, outcome, load_sec, failure)


def _local_backend(model: str, device: str) -> Backend:
    """The backend of this process; imported here, because it brings torch."""
    from xcomposer_ui.backends.local import open_local

    return open_local(model, device)
