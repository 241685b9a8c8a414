"""A traced run of the embedded model: its time, and what a trace costs beside the run itself.

python -m tests.benchmarks.tracing [--repeats N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from PIL import Image

from tests.benchmarks.measure import alternating, median, paired_ratio, report
from xcomposer_ui.core.events import Finished
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.runner import TRACED_TOKENS, Runner
from xcomposer_ui.tracing.dtype_flow import Traced

QUESTION = Question("What is in the picture?", Image.new("RGB", (320, 240), "#d62828"), max_new_tokens=TRACED_TOKENS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    runner = Runner(Settings(device="cpu"))
    runner.warm_up()
    calls: dict[str, Callable[[], float]] = {"run": lambda: run(runner, "unified")}
    for name in STRATEGIES:
        calls[f"trace {name}"] = lambda name=name: trace(runner, name)  # type: ignore[misc]
    figures = alternating(calls, repeats)
    medians = {name: median(seconds) for name, seconds in figures.items()}
    ratio = paired_ratio(figures["trace unified"], figures["run"])
    report(
        "a traced run of the embedded model, as far as its second token",
        [(name, f"{seconds:.3f} s") for name, seconds in medians.items()] + [("trace / run", f"{ratio:.2f}")],
        {"seconds": medians, "trace_over_run": ratio},
    )


def run(runner: Runner, strategy: str) -> float:
    """Seconds that an untraced run takes, from asking to its result."""
    started = time.perf_counter()
    *_, last = runner.run(QUESTION, strategy)
    assert isinstance(last, Finished)
    return time.perf_counter() - started


def trace(runner: Runner, strategy: str) -> float:
    """Seconds that a traced run takes, from asking to its flow."""
    started = time.perf_counter()
    *_, last = runner.trace(QUESTION, strategy)
    assert isinstance(last, Traced)
    assert last.flow.calls
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
