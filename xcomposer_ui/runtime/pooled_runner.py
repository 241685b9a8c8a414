"""A runner whose work is computed by the workers of a pool, so that several callers compute at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.core.events import Event, Finished, FinishedBatch, Loading, Status, Waiting
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import checked_half, strategy_named, strategy_title
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.runtime.model_queue import nobody
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.runtime.worker_pool import RunnerState, WorkerPool
from xcomposer_ui.tracing.dtype_flow import Traced, Tracing


class PooledRunner(Runner):
    """A Runner with the same methods and events, each piece of work alone on the device of one worker.

    A worker loads what its work needs: after a change of model, each one loads it with its next run. The figures are
    measured in the worker; on a CPU the workers share the processor, which each result says.

    Raises UserError as WorkerPool does.
    """

    def __init__(self, settings: Settings, workers: int, visitor: Callable[[], str | None] = nobody) -> None:
        super().__init__(settings, visitor=visitor, models=workers)
        self._workers = workers
        self._pool = WorkerPool(settings, workers)
        self._state: RunnerState = Status(settings.model, device=None, half=None), None

    def close(self) -> None:
        """End the workers, whatever they are computing."""
        self._pool.close()

    def warm_up(self) -> None:
        self._pool.warm_up()
        self.open()

    def open(self) -> None:
        if self._state[0].device is None:
            self._state = self._pool.state()

    def status(self) -> Status:
        """As of the worker that ended its work last."""
        status, _ = self._state
        return replace(status, reasons={**status.reasons, **self._sharing(status.device)}) if status.device else status

    def memory_budget(self) -> MemoryBudget | None:
        """As of the worker that ended its work last; on a CPU, its share."""
        budget = self._state[1]
        if budget is None or budget.device != "cpu":
            return budget
        return replace(budget, bytes=budget.bytes // self._workers)

    def forget(self) -> None:
        self._pool.forget()

    def load(self, model: str, device: str | None = None) -> Generator[Waiting | Loading, None, None]:
        yield from self._computed(Message("work.load", model=self._checked_model(model)), "load", model, device)

    def run(self, request: Request) -> Generator[Event, None, None]:
        work = Message("work.run", strategy=strategy_title(request.strategy))
        for event in self._computed(work, "run", self.resolved(request)):
            if isinstance(event, Finished):
                shared = {**event.result.reasons, **self._sharing(event.result.device)}
                event = Finished(replace(event.result, reasons=shared))
            yield event

    def run_batch(self, requests: Sequence[Request]) -> Generator[Waiting | Loading | FinishedBatch, None, None]:
        yield from self._computed(Message("work.batch"), "run_batch", [self.resolved(request) for request in requests])

    def diverge(
        self, request: Request, variants: Sequence[tuple[str, str]]
    ) -> Generator[Waiting | Diverging | Diverged, None, None]:
        for strategy, half in variants:
            strategy_named(strategy), checked_half(half)
        yield from self._computed(Message("work.divergence"), "diverge", self.resolved(request), variants)

    def trace(self, request: Request) -> Generator[Waiting | Tracing | Traced, None, None]:
        yield from self._computed(Message("work.trace"), "trace", self.resolved(request))

    def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
        yield from self._computed(Message("work.train"), "finetune", request)

    def _computed(self, work: Message, method: str, *arguments: Any) -> Generator[Any, None, None]:
        """Yield Waiting until a worker is free, then what its runner's `method` yields."""
        release = yield from self._queue.acquire(work)
        try:
            self._state = yield from self._pool.streamed(method, *arguments)
        finally:
            release()

    def _sharing(self, device: str | None) -> dict[str, Sentence]:
        kind = "cpu" if device == "cpu" else "gpu"
        return {"workers": Message(f"reason.workers.{kind}", workers=self._workers)}

    def _device(self) -> str:
        return self._state[0].device or self.settings.device
