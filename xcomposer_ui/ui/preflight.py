"""Checks before a run: plans, predicted peak memory, and whether the run fits."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from xcomposer_ui.compare.execution import Runs
from xcomposer_ui.core.callers import Gone, stays
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import MemoryRequest
from xcomposer_ui.planning.fit import DoesNotFit, FitChecker
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape
from xcomposer_ui.planning.planner_process import PlannerProcess, Plans
from xcomposer_ui.planning.predictions import Predictions
from xcomposer_ui.planning.training_plan import TrainingPlan, TrainingPlanRequest
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.gradio_sessions import caller_gone

Step = TypeVar("Step")
"""A session as a handler yields it."""


class EndablePlans(Plans, Protocol):
    """Plans that can be given up."""

    def plan(self, request: PlanRequest, gone: Gone = stays) -> Plan: ...

    def plan_training(self, request: TrainingPlanRequest, gone: Gone = stays) -> TrainingPlan: ...

    def predict(self, shape: RunShape, gone: Gone = stays) -> int: ...


class CallersPlans:
    """`plans` that end when the caller of the event being handled is `gone`: has left the page."""

    def __init__(self, plans: EndablePlans, gone: Callable[[], Gone] = caller_gone) -> None:
        self._plans, self._gone = plans, gone

    def plan(self, request: PlanRequest) -> Plan:
        return self._plans.plan(request, self._gone())

    def plan_training(self, request: TrainingPlanRequest) -> TrainingPlan:
        return self._plans.plan_training(request, self._gone())

    def predict(self, shape: RunShape) -> int:
        return self._plans.predict(shape, self._gone())


@dataclass(frozen=True)
class Preflight:
    """Shared by all sessions of a page, so that equal runs of two visitors are predicted once."""

    plans: CallersPlans
    shared_plans: EndablePlans
    """The same without an end of their own, for results that every visitor sees."""
    predictions: Predictions
    fitting: FitChecker
    pending: set[RunShape] = field(default_factory=set)
    """Shapes that a thread is predicting now."""

    def expected(self, query: MemoryRequest, device: str) -> int | None:
        """Predicted peak memory in bytes of a run that generates all its tokens. Does not wait.

        None while a thread, started by the first call, computes it.
        """
        shape = RunShape(**vars(query), device=device)
        known = self.predictions.cached(shape)
        if known is None and shape not in self.pending:
            self.pending.add(shape)
            ours = contextvars.copy_context()  # by which the prediction ends with its caller
            threading.Thread(target=ours.run, args=(self._predict, shape), name="prediction", daemon=True).start()
        return known

    def _predict(self, shape: RunShape) -> None:
        try:
            with contextlib.suppress(UserError):  # the chart is drawn without its line
                self.predictions.of(shape)
        finally:
            self.pending.discard(shape)

    def misfits(
        self, runner: Runs, queries: Sequence[MemoryRequest], checking: Step
    ) -> Generator[Step, None, tuple[DoesNotFit, ...]]:
        """Those of `queries` that do not fit. Yields `checking` before each step that takes seconds."""
        if runner.status().device is None:
            yield checking
            runner.open()
        if not any(self.fitting.needs_plan(query) for query in queries):
            return ()
        yield checking
        return self.fitting.misfits(queries)


def preflight(runner: Runner, plans: EndablePlans | None = None) -> Preflight:
    """The checks of a page on `runner`. plans: what makes plans; None for a PlannerProcess."""
    shared = plans or PlannerProcess()
    callers = CallersPlans(shared)
    return Preflight(callers, shared, Predictions(callers.predict), FitChecker(callers, runner.memory_budget))
