"""Runs requests: events during a run, a RunResult at its end. Knows neither torch nor gradio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, FinishedBatch, Loading, Status, Waiting
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import DEVICES, Settings
from xcomposer_ui.core.strategies import checked_half, strategy_named
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.planning.fit import MemoryBudget, certainly_fits
from xcomposer_ui.planning.hardware import Machine, half_for, strategy_for
from xcomposer_ui.runtime.backend import Backend, CallResult, Progress
from xcomposer_ui.runtime.executor import BEAT_SEC, Job, Result, Worker
from xcomposer_ui.runtime.remedies import Tried, failure_of
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, Traced, Tracing

TRACED_TOKENS = 2
"""A traced run reads the prompt and takes one step of decoding: the steps after it take the same path."""

OpenBackend = Callable[[str, str], Backend]
"""(model's name, "auto" | "cpu" | "cuda" | "mps") to a backend that has loaded nothing yet."""


class Runner:
    """The lab's one way to a model; every face (page, endpoint, command line) goes through it.

    One run at a time: the worker holds the lock until the run has really ended, even if its caller has left.
    `run`, `run_batch`, `diverge` and `trace` raise UserError for the user's mistakes, before anything is computed;
    closing their generators stops the work.
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
        """Load what the first run needs; takes seconds, so call it in a thread.

        Raises UserError as the first run would.
        """
        self._lock.acquire()
        self._begin(
            lambda progress: bool(self._opened(self.settings.model, None, progress).load(self.half(), progress))
        ).wait()

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
        """The lab's model, device and choices; returns at once and loads nothing."""
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
        """Memory that a run may take; None where nothing is known yet. Returns at once."""
        backend = self._backend
        free = None if backend is None else backend.budget_bytes()
        return None if backend is None or free is None else MemoryBudget(backend.device, free)

    def forget(self) -> None:
        """Drop the prefix cache: the next turn of each conversation is computed whole. Returns at once."""
        if self._backend is not None:
            self._backend.forget()

    def half(self, name: str | None = None) -> str:
        """The 16-bit dtype for `name` (None or "auto": the lab's choice). Raises UserError where it is none."""
        return self._half(name)[0]

    def resolved(self, request: Request) -> Request:
        """`request` with its model and half dtype filled in from the settings.

        Raises UserError for a model that is not offered, and for tiles of a model that has none. Tiles of a model
        that is not on this machine yet pass: they are checked when it is loaded.
        """
        model = self._allowed(request.model)
        if tiled(model) is False and request.requests_tiles:
            raise UserError("no_tiles")
        return replace(request, model=model, half=self.half(request.half))

    def load(self, model: str, device: str | None = None) -> Generator[Waiting | Loading, None, None]:
        """Load `model` with half weights in place of the one that is loaded; ends when it is in memory.

        It is downloaded before the other one's weights are dropped. Closing the generator stops a download; files
        that are whole by then are not downloaded again. Raises UserError as `run` does.
        """
        model = self._allowed(model)
        half = self.half()

        def work(progress: Progress) -> bool:
            self._opened(model, device, progress).load(half, progress)
            return True

        job = yield from self._started(work)
        with job:
            for event in job.events(Loading(model, half)):
                if isinstance(event, (Waiting, Loading)):
                    yield event
        job.result()

    def run(self, request: Request) -> Generator[Event, None, None]:
        """Yield Waiting, Loading, TextSoFar and MemorySoFar events, and one Finished last."""
        _, half_reason = self._half(request.half)
        request = self.resolved(request)

        def work(progress: Progress) -> RunResult:
            backend, load_sec = self._loaded(request, progress)
            outcome = backend.generate(request, progress)
            return _result(request, half_reason, backend, outcome, load_sec, progress, {})

        job = yield from self._started(work)
        with job:
            yield from job.events(Loading(str(request.model), request.weights_dtype))
        yield Finished(job.result())

    def run_batch(self, requests: Sequence[Request]) -> Generator[Waiting | Loading | FinishedBatch, None, None]:
        """Answer the first of `requests` in one call, as many as fit into memory; the last event is FinishedBatch.

        They differ in text, picture and history only, and are greedy.
        """
        _, half_reason = self._half(requests[0].half)
        requests = [self.resolved(request) for request in requests]
        first = requests[0]

        def work(progress: Progress) -> FinishedBatch:
            backend, load_sec = self._loaded(first, progress)
            batch = backend.generate_batch(requests, progress)
            tried: Tried = {}
            results = [
                _result(request, half_reason, backend, outcome, load_sec, progress, tried)
                for request, outcome in zip(requests, batch.outcomes, strict=False)
            ]
            return FinishedBatch(tuple(results), batch.size)

        job = yield from self._started(work)
        loading = Loading(str(first.model), first.weights_dtype)
        with job:
            for _ in job.beats():
                if job.progress.text is None:
                    yield replace(loading, stage=job.progress.stage, fraction=job.progress.fraction)
        yield job.result()

    def diverge(
        self, request: Request, variants: Sequence[tuple[str, str]]
    ) -> Generator[Waiting | Diverging | Diverged, None, None]:
        """Measure the distance of each (strategy, half) from full precision; the last event is Diverged."""
        for strategy, half in variants:
            strategy_named(strategy), checked_half(half)
        request = self.resolved(request)
        job = yield from self._started(
            lambda progress: self._opened(str(request.model), request.device, progress).measure_divergence(
                request, variants, progress
            )
        )
        with job:
            for _ in job.beats():
                yield Diverging()
        yield Diverged(job.result())

    def trace(self, request: Request) -> Generator[Waiting | Tracing | Traced, None, None]:
        """Run `request` traced, for `TRACED_TOKENS`; the last event is Traced. A failed run has a flow too."""
        request = replace(self.resolved(request), max_new_tokens=TRACED_TOKENS)

        def work(progress: Progress) -> tuple[str, DtypeFlow]:
            backend, _ = self._loaded(request, progress)
            return backend.device, backend.trace_dtypes(request, progress)

        job = yield from self._started(work)
        with job:
            for _ in job.beats():
                yield Tracing()
        device, flow = job.result()
        yield Traced(request.strategy, request.half_dtype, str(request.model), device, request.weights_dtype, flow)

    def _started(self, work: Callable[[Progress], Result]) -> Generator[Waiting, None, Job[Result]]:
        """Yield Waiting until the model is free, then begin `work`."""
        while not self._lock.acquire(timeout=BEAT_SEC):
            yield Waiting()
        return self._begin(work)

    def _begin(self, work: Callable[[Progress], Result]) -> Job[Result]:
        """Hand `work` and the lock to the worker, which releases the lock when the work has ended."""
        job = Job(work)
        try:
            self._worker.do(lambda: job.work(self._lock.release))
        except BaseException:
            self._lock.release()
            raise
        return job

    def _loaded(self, request: Request, progress: Progress) -> tuple[Backend, float | None]:
        """The backend with the request's weights in memory, and the seconds that loading them took."""
        backend = self._opened(str(request.model), request.device, progress)
        return backend, backend.load(request.weights_dtype, progress)

    def _opened(self, model: str, device: str | None, progress: Progress) -> Backend:
        """The backend for `model` on `device`. Another model's weights are dropped once this one's are downloaded."""
        device = device or self.settings.device
        if device not in DEVICES:
            raise UserError("unknown_setting", name="device", value=device, known=", ".join(DEVICES))
        backend = self._backend
        if backend is None or backend.model != model or device not in ("auto", backend.device):
            fresh = self._open_backend(model, device)
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

    def _half(self, name: str | None) -> tuple[str, Sentence]:
        """(16-bit dtype, why it is this one)."""
        name = name or self.settings.half
        if name == "auto":
            device = self.settings.device if self._backend is None else self._backend.device
            return half_for(device, self.machine.known)
        return checked_half(name), Message("reason.chosen")


def _result(
    request: Request,
    half_reason: Sentence,
    backend: Backend,
    outcome: CallResult,
    load_sec: float | None,
    progress: Progress,
    tried: Tried,
) -> RunResult:
    """The result of a run; a failure is explained, and its remedies are tried, but those that `tried` has already."""
    return RunResult(
        request=request,
        device=backend.device,
        measurement=replace(outcome.measurement, load_sec=load_sec),
        answer=outcome.answer,
        failure=failure_of(outcome, backend, request, progress, tried),
        stopped=outcome.stopped,
        reasons={**backend.reasons, "half": half_reason},
        picture_size=request.picture_size,
        revision=backend.revision,
        timeline=outcome.timeline,
    )


def _local_backend(model: str, device: str) -> Backend:
    """The backend of this process; imported here, because it brings torch."""
    from xcomposer_ui.backends.local import open_local

    return open_local(model, device)
