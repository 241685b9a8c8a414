"""A class in the lesson at once: the longest wait for a step, the places that were shown, and the float explorer.

python -m tests.benchmarks.lesson_visitors [--visitors N] [--after SECONDS]

The page is served with the embedded model in another process; the visitors speak to it over HTTP as browsers do, all
from the same moment after its start, and answer without thinking. No step was prepared, as it is where somebody has
opened the tab before. Together: all go through the steps in their order. Apart: each begins at another step.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import median, report
from tests.ui.visitor import Visitor, config_of, served
from xcomposer_ui.core.messages import text
from xcomposer_ui.lesson.step import Step, lesson

CALCULATIONS = 200
GOAL_SEC = 10.0
NOTICED_SEC = 1.0
"""A wait from here on has to show a place in the queue, or that the step runs now."""

WAITING = text("lesson.waiting", "en"), text("lesson.waiting.ahead", "en").split("{")[0].strip()


@dataclass
class Waits:
    """Of all visitors. steps: (seconds, step). unseen: waits of NOTICED_SEC and more in which no place was shown."""

    steps: list[tuple[float, str]] = field(default_factory=list)
    places: int = 0
    unseen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def attend(address: str, config: dict[str, Any], order: list[Step], waits: Waits) -> None:
    """Go through the steps in `order`, each answered as expected."""
    async with Visitor(address, config) as visitor:
        for step in order:
            async for _ in visitor.press("lesson", "select", {"go": step.name}):
                pass
            began, placed = time.monotonic(), False
            async for _ in visitor.press("lesson", "submit", {"choice": step.expected}):
                placed = placed or any(words in visitor.shown("lesson") for words in WAITING)
            waited = time.monotonic() - began
            waits.steps.append((waited, step.name))
            waits.places += placed
            if waited >= NOTICED_SEC and not placed:
                waits.unseen.append(step.name)
            if text("lesson.correct", "en") not in visitor.shown("lesson"):
                waits.wrong.append(step.name)


async def explore(address: str, config: dict[str, Any]) -> list[float]:
    """Seconds from typing a number to its bits, by one visitor."""
    chosen, seconds = random.Random(0), []
    async with Visitor(address, config) as visitor:
        for _ in range(CALCULATIONS):
            visitor.set(float_first=f"{chosen.gauss(0, 1) * 10.0 ** chosen.randint(-9, 9):.6g}", float_operation="")
            began = time.perf_counter()
            async for _ in visitor.press("float-first", "change"):
                pass
            seconds.append(time.perf_counter() - began)
    return seconds


async def visits(address: str, count: int, *, apart: bool) -> tuple[Waits, list[float]]:
    config = await config_of(address)
    waits, steps = Waits(), list(lesson())
    orders = [steps[n % len(steps) :] + steps[: n % len(steps)] if apart else steps for n in range(count)]
    await asyncio.gather(*(attend(address, config, order, waits) for order in orders))
    return waits, await explore(address, config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--after", type=float, default=30, help="seconds from the page's start to the visitors")
    arguments = parser.parse_args()
    count = arguments.visitors
    rows, figures = [], {}
    for name in ("together", "apart"):
        with tempfile.TemporaryDirectory() as cache, served(Path(cache)) as (address, _):
            time.sleep(arguments.after)
            waits, seconds = asyncio.run(visits(address, count, apart=name == "apart"))
        longest, step = max(waits.steps)
        rows += [
            (f"{name}: the longest of {len(waits.steps)} waits for a step", f"{longest:.1f} s ({step})"),
            (f"{name}: the median wait", f"{median([waited for waited, _ in waits.steps]):.2f} s"),
            (f"{name}: waits over {GOAL_SEC:.0f} s", str(sum(waited > GOAL_SEC for waited, _ in waits.steps))),
            (f"{name}: waits with a place shown", str(waits.places)),
            (f"{name}: waits over {NOTICED_SEC:.0f} s without one", str(len(waits.unseen))),
            (f"{name}: other answers than the expected ones", str(len(waits.wrong))),
            (f"{name}: float explorer, a number typed, median", f"{1000 * median(seconds):.0f} ms"),
            (f"{name}: float explorer, the slowest of {CALCULATIONS}", f"{1000 * max(seconds):.0f} ms"),
        ]
        figures[name] = {"longest_wait_sec": longest, "explorer_sec": median(seconds)}
    report(f"{count} visitors in the lesson at once", rows, figures)


if __name__ == "__main__":
    main()
