"""What the benchmarks share: paired repeats, medians, one table and one JSON line. They print; they never judge."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Mapping

import torch

from xcomposer_ui.core.hardware_names import processor_name


def alternating(calls: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Each call `repeats` times, in turn, after one round that does not count: a machine's drift meets all alike."""
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            figure = call()
            if repeat:
                figures[name].append(figure)
    return figures


def median(figures: list[float]) -> float:
    return statistics.median(figures)


def paired_ratio(a: list[float], b: list[float]) -> float:
    """The median of a / b, pair by pair."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "processor": processor_name() or "unknown",
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(title: str, rows: list[tuple[str, str]], figures: Mapping[str, object]) -> None:
    """A table for people, then one JSON line for scripts."""
    print(f"\n{title}")
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    print(json.dumps({"benchmark": title, **figures, "machine": machine()}))
