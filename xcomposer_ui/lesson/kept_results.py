"""The results of the lesson's steps: each computed once in a process, kept, and shared by every visitor.

A class of thirty therefore waits for one run and not for thirty. A visitor who comes before it has ended sees how many
steps are computed before theirs. What visitors wait for goes before what is prepared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime

from xcomposer_ui.lesson.experiments import PLANNED_EXPERIMENTS, Findings
from xcomposer_ui.lesson.step import Step


@dataclass(frozen=True)
class StepResult:
    """The findings of `step`. at: when they were measured, local time. took_sec: how long that took."""

    step: Step
    findings: Findings
    at: datetime
    took_sec: float

    @property
    def right(self) -> str | None:
        """The answer that the run showed to be right; None where it showed none of them, or several."""
        return self.step.right(self.findings.figures)

    @property
    def as_expected(self) -> bool:
        return self.right == self.step.expected


@dataclass
class _Waiting:
    """A step to compute. prepared: whether no visitor waits for it yet."""

    step: Step
    future: Future[StepResult]
    prepared: bool


class _Line:
    """Steps in the order in which one thread computes them, which ends when none is left; and what it has computed."""

    def __init__(self, compute: Callable[[Step], Findings]) -> None:
        self._compute = compute
        self._waiting: list[_Waiting] = []
        self._computed: dict[str, Future[StepResult]] = {}
        self._lock = threading.Lock()
        self._running = False

    def kept(self, step: Step) -> StepResult | None:
        future = self._computed.get(step.name)
        return future.result() if future is not None and future.done() else None

    def future(self, step: Step, *, prepared: bool) -> Future[StepResult]:
        """The future of `step`, which joins the line where it is new; a visitor's goes before the prepared ones."""
        with self._lock:
            if step.name in self._computed:
                return self._computed[step.name]
            known = next((one for one in self._waiting if one.step.name == step.name), None)
            if known is None:
                known = _Waiting(step, Future(), prepared)
                known.future.set_running_or_notify_cancel()  # others may wait for it: it cannot be cancelled
                self._waiting.append(known)
            elif known.prepared and not prepared and known is not self._waiting[0]:
                self._waiting.remove(known)
                known.prepared = False
                self._waiting.append(known)
            # The first is being computed; `sort` keeps the order of those that are alike.
            self._waiting[1:] = sorted(self._waiting[1:], key=lambda one: one.prepared)
            if not self._running:
                self._running = True
                # The runs count as those of the visitor who is the first to wait, as a job's do (`runtime.executor`).
                run = copy_context().run
                threading.Thread(target=run, args=(self._run,), name="lesson", daemon=True).start()
            return known.future

    def ahead(self, step: Step) -> int:
        """How many steps are computed before `step`, the one in progress included; 0 for that one itself."""
        with self._lock:
            names = [one.step.name for one in self._waiting]
        return names.index(step.name) if step.name in names else 0

    def _run(self) -> None:
        while (first := self._first()) is not None:
            started = time.monotonic()
            try:
                findings = self._compute(first.step)
            except BaseException as error:  # raised again for everyone who waits
                self._end(first)
                first.future.set_exception(error)
            else:
                self._end(first, computed=True)
                first.future.set_result(StepResult(first.step, findings, datetime.now(), time.monotonic() - started))

    def _first(self) -> _Waiting | None:
        with self._lock:
            self._running = bool(self._waiting)
            return self._waiting[0] if self._waiting else None

    def _end(self, one: _Waiting, *, computed: bool = False) -> None:
        with self._lock:
            self._waiting.remove(one)
            if computed:
                self._computed[one.step.name] = one.future


class KeptResults:
    """Computes each step once and keeps its result; what raised is computed again when it is asked for again.

    Thread-safe. Plans are computed in a process of their own, so they have a line of their own beside the model's.

    compute: computes a step's findings; takes seconds, and raises UserError for what the visitor can correct.
    """

    def __init__(self, compute: Callable[[Step], Findings]) -> None:
        self._model, self._planner = _Line(compute), _Line(compute)

    def kept(self, step: Step) -> StepResult | None:
        """The result of `step`; None while there is none."""
        return self._line(step).kept(step)

    def future(self, step: Step) -> Future[StepResult]:
        """The result of `step`, now or later; it raises what the experiment raised."""
        return self._line(step).future(step, prepared=False)

    def ahead(self, step: Step) -> int:
        return self._line(step).ahead(step)

    def prepare(self, steps: Sequence[Step]) -> None:
        """Compute `steps` after what visitors wait for. Does not wait; what raises is computed again when asked for."""
        for step in steps:
            self._line(step).future(step, prepared=True)

    def _line(self, step: Step) -> _Line:
        return self._planner if step.experiment in PLANNED_EXPERIMENTS else self._model
