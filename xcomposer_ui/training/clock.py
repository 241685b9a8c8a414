"""How far training is: by steps or by the time budget, whichever is spent first; and the rates that follow from it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """steps: the recipe's. budget_sec: most seconds to spend, None for no limit. spent_sec: before this process.

    While the budget does not bind, everything follows from the step alone, and a run is the same each time.
    """

    steps: int
    budget_sec: float | None = None
    spent_sec: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_sec(self) -> float:
        """Seconds spent so far, earlier processes included."""
        return self.spent_sec + time.monotonic() - self.started

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the end."""
        by_step = step / self.steps
        return min(1.0, max(by_step, self.elapsed_sec / self.budget_sec)) if self.budget_sec else min(1.0, by_step)

    def rate(self, step: int, warm: int = 150) -> float:
        """The learning rate's factor, 0..1: up over `warm` steps, then half a cosine down to a fiftieth."""
        down = 0.5 * (1 + math.cos(math.pi * self.progress(step)))
        return min(1.0, (step + 1) / warm) * (0.02 + 0.98 * down)
