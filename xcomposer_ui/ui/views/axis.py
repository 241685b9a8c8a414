"""The axes of charts, linear from zero with round ticks and a unit or logarithmic over powers of ten; their lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from xcomposer_ui.core.units import BINARY_UNITS, significant
from xcomposer_ui.ui.html import colour_name

MOST_TICKS = 5
SMALLEST_LOGARITHM = 1e-9
"""Values below are drawn there: a logarithm has no zero."""


@dataclass(frozen=True)
class Tick:
    """value: in the values' unit. label: in the axis' unit."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from zero to `end`. ticks, unit: of the labels beside it, if any."""

    end: float
    ticks: tuple[Tick, ...] = ()
    unit: str = ""

    def share(self, value: float) -> float:
        """Where `value` is on the axis: 0 at its beginning, 1 at its end."""
        return value / self.end

    def percent(self, value: float) -> str:
        """The same as a CSS length."""
        return f"{100 * value / self.end:.2f}%"


@dataclass(frozen=True)
class LogAxis:
    """Values from 10 ** `lowest` to 10 ** `highest`; smaller ones count as the lowest."""

    lowest: int
    highest: int

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Every power of ten."""
        return tuple(Tick(10.0**power, f"1e{power}") for power in range(self.lowest, self.highest + 1))

    def share(self, value: float) -> float:
        """Where `value` is on the axis: 0 at its beginning, 1 at its end."""
        power = math.log10(max(value, 10.0**self.lowest))
        return (power - self.lowest) / (self.highest - self.lowest)


def plain_axis(values: Iterable[float | None]) -> Axis:
    """An axis without ticks that ends at the largest of `values`; None was not measured."""
    return Axis(max((value for value in values if value is not None), default=0.0) or 1.0)


def number_axis(most: float) -> Axis:
    """An axis with round ticks for numbers up to `most`."""
    return _round_axis(most, "", 1.0)


def memory_axis(most_bytes: int) -> Axis:
    """An axis for values up to `most_bytes` bytes, labelled in the largest binary unit that they reach."""
    unit, size = next(((name, size) for name, size in BINARY_UNITS if most_bytes >= size), BINARY_UNITS[-1])
    return _round_axis(most_bytes, unit, size)


def time_axis(most_sec: float) -> Axis:
    """An axis for times up to `most_sec` seconds, labelled in seconds, or milliseconds below one second."""
    return _round_axis(most_sec, "s", 1.0) if most_sec >= 1 else _round_axis(most_sec, "ms", 0.001)


def log_axis(values: Sequence[float]) -> LogAxis:
    """An axis for the positive `values`, from a power of ten to a power of ten."""
    lowest = math.floor(math.log10(max(min(values, default=1e-6), SMALLEST_LOGARITHM)))
    return LogAxis(lowest, max(math.ceil(math.log10(max(values, default=1.0))), lowest + 1))


def curve_class(dtype: str, line: str) -> str:
    """The CSS classes that give a curve its colour and its kind of line."""
    return f"xl-curve xl-{colour_name(dtype)} xl-line-{line}"


def unbroken_lines(points: Iterable[tuple[float, float | None]]) -> list[str]:
    """The (x, y) of each line as SVG's points; a y that is None ends a line, and a single point makes none."""
    lines = [
        [f"{x:.1f},{y:.1f}" for x, y in line]
        for finite, line in groupby(points, key=lambda point: point[1] is not None)
        if finite
    ]
    return [" ".join(line) for line in lines if len(line) > 1]


def _round_axis(most: float, unit: str, size: float) -> Axis:
    """An axis for values up to `most`, with about MOST_TICKS ticks at multiples of 1, 2 or 5 units of `size`."""
    rough = max(most / size, 1e-9) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)
    steps = max(1, math.ceil(most / size / step - 1e-9))
    ticks = tuple(Tick(n * step * size, significant(n * step)) for n in range(steps + 1))
    return Axis(steps * step * size, ticks, unit)
