"""Checks before a run: plans, predicted peak memory, and whether the run fits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from xcomposer_ui.compare.execution import Runs
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import MemoryRequest, tile_settings
from xcomposer_ui.planning.fit import DoesNotFit, FitChecker
from xcomposer_ui.planning.plan import RunShape
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.planning.predictions import Predictions
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.plan_handlers import Plans

Step = TypeVar("Step")
"""A session as a handler yields it."""


@dataclass(frozen=True)
class Preflight:
    """Shared by all sessions of a page, so that equal runs of two visitors are predicted once."""

    plans: Plans
    predictions: Predictions
    fitting: FitChecker
    pending: set[RunShape] = field(default_factory=set)
    """Shapes that a thread is predicting."""

    def expected(self, wanted: MemoryRequest, device: str) -> int | None:
        """Predicted peak memory in bytes of a run that generates all its tokens. Does not wait.

        None until it is known; a thread then predicts it.
        """
        shape = RunShape(
            wanted.model, device, wanted.strategy, wanted.half, wanted.picture, None, wanted.text_length,
            wanted.new_tokens, **tile_settings(wanted),
        )  # fmt: skip
        known = self.predictions.cached(shape)
        if known is None and shape not in self.pending:
            self.pending.add(shape)
            threading.Thread(target=self._predict, args=(shape,), name="prediction", daemon=True).start()
        return known

    def _predict(self, shape: RunShape) -> None:
        try:
            with contextlib.suppress(UserError):  # the chart is drawn without its line
                self.predictions.of(shape)
        finally:
            self.pending.discard(shape)

    def judged(
        self, runner: Runs, wanted: Sequence[MemoryRequest], judging: Step
    ) -> Generator[Step, None, tuple[DoesNotFit, ...]]:
        """Those of `wanted` that do not fit. Yields `judging` before each step that takes seconds."""
        if runner.status().device is None:
            yield judging
            runner.open()
        if not any(self.fitting.needs_plan(run) for run in wanted):
            return ()
        yield judging
        return self.fitting.misfits(wanted)


def preflight(runner: Runner, plans: Plans | None = None) -> Preflight:
    """The checks of a page on `runner`. plans: what makes plans; None for a PlannerProcess."""
    plans = plans or PlannerProcess()
    return Preflight(plans, Predictions(plans.predict), FitChecker(plans, runner.room))
