"""Runs requests: events during a run, a RunResult at its end. Imports neither torch nor gradio."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, FinishedBatch, Loading, Status, Waiting
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import DEVICES, Settings
from xcomposer_ui.core.strategies import STRATEGIES, checked_half, strategy_named, strategy_title
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.planning.default_choices import Machine, half_for, strategy_for
from xcomposer_ui.planning.fit import MemoryBudget, certainly_fits
from xcomposer_ui.planning.gpu_time import EVALUATION_STEPS
from xcomposer_ui.runtime import computations
from xcomposer_ui.runtime.backend import Backend, ModelHost, Progress, Work
from xcomposer_ui.runtime.executor import Job, Result, Worker
from xcomposer_ui.runtime.model_queue import ModelQueue, nobody
from xcomposer_ui.tracing.dtype_flow import Traced, Tracing

TRACED_TOKENS = 2
"""A traced run computes the prefill and one decoding step: all later steps take the same path."""

Starting: TypeAlias = Generator[Waiting, None, Job[Result]]
"""Yields while others have the model; returns the job."""

OpenBackend = Callable[[str, str], ModelHost]
"""(model's name, "auto" | "cpu" | "cuda" | "mps") to where the model will be; nothing is loaded yet."""


class Runner:
    """The only access to a model, for the page, the endpoints and the command line.

    It runs one request at a time, in the order of the calls: the next one starts when the run has ended, even if its
    caller stopped waiting.
    `run`, `run_batch`, `diverge` and `trace` raise UserError for the user's mistakes before anything is computed;
    closing their generators stops the work.

    visitor, models: see `ModelQueue`.
    """

    def __init__(
        self,
        settings: Settings,
        open_backend: OpenBackend | None = None,
        machine: Machine | None = None,
        visitor: Callable[[], str | None] = nobody,
        models: int = 1,
    ) -> None:
        self.settings = settings
        self.machine = machine or Machine()
        opened = _zero_gpu if settings.on_zero_gpu else _local_backend
        self._open_backend = open_backend or partial(opened, decoder=settings.decoder)
        self._backend: ModelHost | None = None
        self._queue = ModelQueue(visitor, models)
        self._worker = Worker()

    def close(self) -> None:
        """Give back what the runner has besides this process."""

    def warm_up(self) -> None:
        """Load the weights that the first run needs. Takes seconds, so call it in a thread.

        Raises UserError as the first run would.
        """
        for _ in self.load(self.settings.model):
            pass

    def place(self) -> None:
        """Load the weights that the first run needs in this thread, before the page is served.

        ZeroGPU takes over what is on its emulated card when the page is launched, and emulates the card for this thread
        only. Raises UserError as the first run would.
        """
        self._load(self.settings.model, None, Progress())

    def _load(self, model: str, device: str | None, progress: Progress) -> bool:
        """Load `model` with half weights; whether they were not loaded yet."""
        backend = self._backend_for(model, device, progress)
        return backend.load(self.half(), progress) is not None  # the half of the device that is known now

    def open(self) -> None:
        """Open the backend without loading weights, so that `status` and `memory_budget` have its device.

        Takes seconds the first time. Raises UserError if there is no such device or model.
        """
        if self._backend is not None:
            return
        release = self._queue.wait(_loading(self.settings.model))
        try:
            self._backend = self._backend or self._open_backend(self.settings.model, self.settings.device)
        finally:
            release()

    def status(self) -> Status:
        """The lab's model, device and choices; returns at once and loads nothing."""
        backend = self._backend
        if backend is None:
            return Status(self.settings.model, device=None, half=None)
        half, reason = self._half(None)
        budget = self.memory_budget()
        strategy, why = strategy_for(
            half,
            backend.device,
            self.machine.known,
            full_fits=budget is not None and certainly_fits(backend.model, budget),
        )
        loaded = tuple((backend.model, dtype) for dtype in backend.loaded())
        reasons = {**backend.reasons, "half": reason, "strategy": why}
        return Status(backend.model, backend.device, half, reasons, loaded, strategy)

    def memory_budget(self) -> MemoryBudget | None:
        """Memory that a run may use; None if unknown. Returns at once."""
        backend = self._backend
        free = None if backend is None else backend.budget_bytes()
        return None if backend is None or free is None else MemoryBudget(backend.device, free)

    def forget(self) -> None:
        """Drop the prefix cache: the next turn of each conversation computes its whole prompt. Returns at once."""
        if self._backend is not None:
            self._backend.forget()

    def half(self, name: str | None = None) -> str:
        """The 16-bit dtype for `name` (None or "auto": chosen for the device). Raises UserError for another name."""
        return self._half(name)[0]

    def resolved(self, request: Request) -> Request:
        """`request` with its model and half dtype filled in from the settings.

        Raises UserError for a model that is not offered, and for tile settings of a model without tiles. Those of a
        model that is not on this machine yet are checked when it is loaded.
        """
        model = self._checked_model(request.model)
        if tiled(model) is False and request.requests_tiles:
            raise UserError("no_tiles")
        return replace(request, model=model, half=self.half(request.half))

    def load(self, model: str, device: str | None = None) -> Generator[Waiting | Loading, None, None]:
        """Load `model` with half weights, in place of the one that is loaded.

        It is downloaded before the other one's weights are dropped. Closing the generator stops a download; a later
        one continues after the files that are complete. Raises UserError as `run` does.
        """
        model = self._checked_model(model)
        half = self.half()
        job = yield from self._start(_loading(model), partial(self._load, model, device))
        with job:
            for event in job.events(Loading(model, half)):
                if isinstance(event, (Waiting, Loading)):
                    yield event
        job.result()

    def run(self, request: Request) -> Generator[Event, None, None]:
        """Yield Waiting, Loading, TextSoFar, MemorySoFar and TryingRemedies events, and one Finished last.

        Some event comes every quarter of a second, the last one again where nothing is new.
        """
        _, half_reason = self._half(request.half)
        request = self.resolved(request)

        others = [name for name in STRATEGIES if name != request.strategy]
        trials = [replace(request, strategy=name, max_new_tokens=computations.TRIAL_TOKENS) for name in others]
        work = Work(computations.compute_run, (request, half_reason), runs=(request, *trials))
        job = yield from self._compute(Message("work.run", strategy=strategy_title(request.strategy)), request, work)
        with job:
            yield from job.events(Loading(str(request.model), request.weights_dtype))
        yield Finished(job.result())

    def run_batch(self, requests: Sequence[Request]) -> Generator[Waiting | Loading | FinishedBatch, None, None]:
        """Answer as many of the first `requests` in one call as fit into memory; the last event is FinishedBatch.

        The requests differ only in text, picture and history, and are greedy.
        """
        _, half_reason = self._half(requests[0].half)
        requests = [self.resolved(request) for request in requests]
        first = requests[0]

        longest = max(requests, key=lambda request: request.max_new_tokens)
        work = Work(computations.compute_batch, (requests, half_reason), runs=(longest, longest))
        job = yield from self._compute(Message("work.batch"), first, work)
        loading = Loading(str(first.model), first.weights_dtype)
        with job:
            for _ in job.poll():
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
        runs = tuple(replace(request, strategy=strategy, half=half) for strategy, half in variants)
        # Each variant answers, and reads the reference's answer.
        work = Work(computations.measure_divergence, (request, tuple(variants)), runs=runs * 2)
        job = yield from self._compute(Message("work.divergence"), request, work)
        with job:
            for _ in job.poll():
                yield Diverging()
        yield Diverged(job.result())

    def trace(self, request: Request) -> Generator[Waiting | Tracing | Traced, None, None]:
        """Trace `request` for `TRACED_TOKENS` tokens; the last event is Traced, for a failed run too."""
        request = replace(self.resolved(request), max_new_tokens=TRACED_TOKENS)
        work = Work(computations.trace, (request,), runs=(request,))
        job = yield from self._compute(Message("work.trace"), request, work)
        with job:
            for _ in job.poll():
                yield Tracing()
        device, flow = job.result()
        yield Traced(request.strategy, request.half_dtype, str(request.model), device, request.weights_dtype, flow)

    def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
        """Fine-tune a copy of the embedded model; the last Finetuned has the results.

        The served model is not touched. Where another caller waits, it comes between two steps, but not on a card:
        there a run's peak memory is that of everything that is allocated. Raises UserError if there is no such device.
        """
        device = request.device or self.settings.device
        steps: Iterator[Finetuning] | None = None

        def work(progress: Progress) -> bool:
            """Train until the end, a stop, or somebody waits; whether it has ended."""
            from xcomposer_ui.backends.finetuning.execution import finetuning_steps  # imports torch

            nonlocal steps
            if self.settings.on_zero_gpu and device != "cpu":  # in another process, which gives way to nobody
                passes = len(request.recipes) * (request.steps + EVALUATION_STEPS)
                whole = Work(computations.finetune, (request, device, self.machine.check()), steps=passes)
                progress.finetuning = self._open_backend(self.settings.model, device).compute(whole, progress)
                return True
            steps = steps or finetuning_steps(request, device, self.machine.check())
            for progress.finetuning in steps:
                if progress.stop.is_set():
                    return True
                if self._queue.is_waited_for() and progress.finetuning.device != "cuda":
                    return False
            return True

        ended = False
        while not ended:
            job = yield from self._start(Message("work.train"), work)
            with job:
                for _ in job.poll():
                    if job.progress.finetuning is not None:
                        yield Finetuned(job.progress.finetuning)
            ended = job.result()
            assert job.progress.finetuning is not None
            yield Finetuned(job.progress.finetuning)

    def _compute(self, name: Message, request: Request, work: Work[Result]) -> Starting[Result]:
        """`_start` `work` where the model of `request` is."""

        def compute(progress: Progress) -> Result:
            return self._backend_for(str(request.model), request.device, progress).compute(work, progress)

        return self._start(name, compute)

    def _start(self, name: Message, work: Callable[[Progress], Result]) -> Starting[Result]:
        """Yield Waiting until it is the caller's turn, then pass `work` to the worker, and the model on at its end.

        name: of the work, for those who wait.
        """
        release = yield from self._queue.acquire(name)
        job = Job(work)
        try:
            self._worker.submit(partial(job.work, release))
        except BaseException:
            release()
            raise
        return job

    def _backend_for(self, model: str, device: str | None, progress: Progress) -> ModelHost:
        """The backend for `model` on `device`. Another model's weights are dropped once this one's are downloaded."""
        device = device or self.settings.device
        if device not in DEVICES:
            raise UserError("unknown_setting", name="device", value=device, known=", ".join(DEVICES))
        if device == "auto" and self.settings.on_zero_gpu:  # not the CPU, where another visitor may have run last
            device = "cuda"
        backend = self._backend
        if backend is None or backend.model != model or device not in ("auto", backend.device):
            fresh = self._open_backend(model, device)
            fresh.fetch(progress)
            if backend is not None:
                backend.unload()
            self._backend = backend = fresh
        return backend

    def _checked_model(self, model: str | None) -> str:
        model = model or self.settings.model
        if model not in self.settings.models:
            raise UserError("unknown_model", name=model, known=", ".join(self.settings.models))
        return model

    def _device(self) -> str:
        """The device, as far as it is known: the settings' one before the backend is opened."""
        return self.settings.device if self._backend is None else self._backend.device

    def _half(self, name: str | None) -> tuple[str, Sentence]:
        """(16-bit dtype, reason for the choice)."""
        name = name or self.settings.half
        if name == "auto":
            return half_for(self._device(), self.machine.known)
        return checked_half(name), Message("reason.chosen")


def _loading(model: str) -> Message:
    return Message("work.load", model=model)


def _local_backend(model: str, device: str, decoder: str) -> Backend:
    """The backend of this process; imported here, because it imports torch."""
    from xcomposer_ui.backends.local import open_local

    return open_local(model, device, decoder)


def _zero_gpu(model: str, device: str, decoder: str) -> ModelHost:
    """The backend of a ZeroGPU Space; imported here, because it imports torch and changes it."""
    from xcomposer_ui.backends.zero_gpu import open_zero_gpu

    return open_zero_gpu(model, device, decoder)
