"""Runs a question under a strategy: events while it goes, a RunResult at the end. Knows neither torch nor gradio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from xcomposer_ui.backend import Backend, Outcome, Progress
from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.cures import Tried, failure_of
from xcomposer_ui.dtype_flow import DtypeFlow, Traced, Tracing
from xcomposer_ui.errors import UserError
from xcomposer_ui.job import BEAT_SEC, Job, Result
from xcomposer_ui.machine import Machine, half_for, strategy_for
from xcomposer_ui.planning.fitting import Room, surely_fits
from xcomposer_ui.question import checked_question
from xcomposer_ui.records import (
    Event,
    Finished,
    FinishedBatch,
    Loading,
    Measurement,
    Question,
    RunResult,
    Status,
    Waiting,
)
from xcomposer_ui.settings import DEVICES, Settings
from xcomposer_ui.strategies import Strategy, checked_half, strategy_named
from xcomposer_ui.worker import Worker

TRACED_TOKENS = 2
"""A traced run reads the prompt and takes one step of decoding: what follows takes the same way."""

OpenBackend = Callable[[str, str], Backend]
"""(model's name, "auto" | "cpu" | "cuda") to a backend that has loaded nothing yet."""


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
            full_fits=room is not None and surely_fits(backend.model, room),
        )
        loaded = tuple((backend.model, dtype) for dtype in backend.loaded())
        reasons = {**backend.reasons, "half": reason, "strategy": why}
        return Status(backend.model, backend.device, half, reasons, loaded, strategy)

    def room(self) -> Room | None:
        """Memory that a run may take; None where nothing is known yet. Answers at once."""
        backend = self._backend
        free = None if backend is None else backend.room_bytes()
        return None if backend is None or free is None else Room(backend.device, free)

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
        chosen = strategy_named(strategy)
        half_dtype, half_reason = self._half(half)
        question = checked_question(question)
        model = self._allowed(model)
        job = yield from self._started(
            lambda progress: self._answer(question, chosen, half_dtype, half_reason, model, device, progress)
        )
        try:
            yield from job.events(Loading(model, chosen.weights_dtype(half_dtype)))
        finally:
            job.progress.stop.set()
        yield Finished(job.result())

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
        chosen = strategy_named(strategy)
        half_dtype, half_reason = self._half(half)
        questions = [checked_question(question) for question in questions]
        model = self._allowed(model)
        told = Loading(model, chosen.weights_dtype(half_dtype))

        def work(progress: Progress) -> FinishedBatch:
            backend = self._opened(model, device, progress)
            load_sec = backend.load(told.dtype, progress)
            batch = backend.answer_first(questions, chosen, half_dtype, progress)
            tried: Tried = {}
            results = [
                self._result(question, chosen, half_dtype, half_reason, backend, outcome, load_sec, progress, tried)
                for question, outcome in zip(questions, batch.outcomes, strict=False)
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
        question = checked_question(question)
        model = self._allowed(model)
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
        chosen = strategy_named(strategy)
        half_dtype, _ = self._half(half)
        question = checked_question(question)
        model = self._allowed(model)
        weights_dtype = chosen.weights_dtype(half_dtype)

        def work(progress: Progress) -> tuple[str, DtypeFlow]:
            backend = self._opened(model, device, progress)
            backend.load(weights_dtype, progress)
            return backend.device, backend.flow(question, chosen, half_dtype, progress, TRACED_TOKENS)

        job = yield from self._started(work)
        try:
            for _ in job.beats():
                yield Tracing()
        finally:
            job.progress.stop.set()
        used, flow = job.result()
        yield Traced(chosen.name, half_dtype, model, used, weights_dtype, flow)

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

    def _answer(
        self,
        question: Question,
        strategy: Strategy,
        half: str,
        half_reason: str,
        model: str,
        device: str | None,
        progress: Progress,
    ) -> RunResult:
        """The whole work of a run, in a thread of its own that holds the lock."""
        backend = self._opened(model, device, progress)
        weights_dtype = strategy.weights_dtype(half)
        load_sec = backend.load(weights_dtype, progress)
        outcome = backend.answer(question, strategy, half, progress)
        return self._result(question, strategy, half, half_reason, backend, outcome, load_sec, progress)

    def _result(
        self,
        question: Question,
        strategy: Strategy,
        half: str,
        half_reason: str,
        backend: Backend,
        outcome: Outcome,
        load_sec: float | None,
        progress: Progress,
        tried: Tried | None = None,
    ) -> RunResult:
        """`outcome` with all that was decided before it; a failure is explained, and its cures are tried.

        tried: explanations of failures that were tried before; what is the same is not tried again.
        """
        failure = failure_of(outcome, backend, question, strategy, half, progress, {} if tried is None else tried)
        return RunResult(
            strategy=strategy.name,
            half=half,
            model=backend.model,
            device=backend.device,
            weights_dtype=strategy.weights_dtype(half),
            seed=question.seed,
            measurement=_with_load(outcome.measurement, load_sec),
            answer=outcome.answer,
            failure=failure,
            stopped=outcome.stopped,
            reasons={**backend.reasons, "half": half_reason},
            picture_size=None if question.image is None else question.image.size,
            revision=backend.revision,
            course=outcome.course,
        )

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

    def _half(self, asked: str | None) -> tuple[str, str]:
        asked = asked or self.settings.half
        if asked == "auto":
            device = self.settings.device if self._backend is None else self._backend.device
            return half_for(device, self.machine.known)
        return checked_half(asked), "you asked for it"


def _with_load(measurement: Measurement, load_sec: float | None) -> Measurement:
    return Measurement(**{**vars(measurement), "load_sec": load_sec})


def _local_backend(model: str, device: str) -> Backend:
    """The backend of this process; imported here, because it brings torch."""
    from xcomposer_ui.backends.local import open_local

    return open_local(model, device)
