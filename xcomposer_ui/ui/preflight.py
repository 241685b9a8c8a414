"""What the page knows of runs before they are begun: plans, predictions, and whether a run fits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from xcomposer_ui.compare.execution import Runs
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.fit import DoesNotFit, FitChecker, MemoryRequest
from xcomposer_ui.planning.plan import RunShape
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.planning.predictions import Predictions
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.plan_handlers import Plans

Step = TypeVar("Step")
"""What a page shows at a moment."""


@dataclass(frozen=True)
class Preflight:
    """One for the whole page: what one visitor's run was predicted to take, another's like it was too."""

    plans: Plans
    predictions: Predictions
    fitting: FitChecker
    asking: set[RunShape] = field(default_factory=set)
    """What is being predicted for a run in progress."""

    def expected(self, wanted: MemoryRequest, device: str) -> int | None:
        """The peak of a run that comes to all its tokens, in bytes; asked for in the background where it is not known.

        Answers at once, with None until then.
        """
        shape = RunShape(
            wanted.model, device, wanted.strategy, wanted.half, wanted.picture, None, wanted.text_length,
            wanted.new_tokens, wanted.hd_num,
        )  # fmt: skip
        known = self.predictions.known(shape)
        if known is None and shape not in self.asking:
            self.asking.add(shape)
            threading.Thread(target=self._ask, args=(shape,), name="prediction", daemon=True).start()
        return known

    def _ask(self, shape: RunShape) -> None:
        try:
            with contextlib.suppress(UserError):  # the chart goes without its line
                self.predictions.of(shape)
        finally:
            self.asking.discard(shape)

    def judged(
        self, runner: Runs, wanted: Sequence[MemoryRequest], judging: Step
    ) -> Generator[Step, None, tuple[DoesNotFit, ...]]:
        """Why some of `wanted` should not be begun; yields `judging` before what takes seconds."""
        if runner.status().device is None:
            yield judging
            runner.open()
        if not any(self.fitting.in_doubt(run) for run in wanted):
            return ()
        yield judging
        return self.fitting.before_each(wanted)


def preflight(runner: Runner, plans: Plans | None = None) -> Preflight:
    """For a page on `runner`. plans: who plans; a process of its own where nobody else does, started when needed."""
    plans = plans or PlannerProcess()
    return Preflight(plans, Predictions(plans.predict), FitChecker(plans, runner.room))
