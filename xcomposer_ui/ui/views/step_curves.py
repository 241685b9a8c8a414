"""A chart of values over the steps of a training, a line for each recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import significant
from xcomposer_ui.ui.html import colour_name, render
from xcomposer_ui.ui.views.axis import Axis, LogAxis, number_axis

WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 410, 10, 186
"""Of the SVG and of the plot's area in it, in pixels."""


@dataclass(frozen=True)
class StepCurve:
    """values: of each step from the first; None where it is not finite. line: "solid", "dotted" or "dashed"."""

    label: str
    dtype: str
    line: str
    values: tuple[float | None, ...]

    @property
    def css_class(self) -> str:
        """The classes that give it its colour and its kind of line."""
        return f"xl-curve xl-{colour_name(self.dtype)} xl-line-{self.line}"


def step_curves(title: str, curves: Sequence[StepCurve], axis: Axis | LogAxis, steps: int, language: str) -> Markup:
    """The chart of `curves` on one scale. steps: that the axis along ends at."""
    along = number_axis(steps)
    return render(
        "step_curves",
        language,
        title=title,
        width=WIDTH,
        height=HEIGHT,
        plot=(LEFT, RIGHT, TOP, BOTTOM),
        legend=[(curve.css_class, curve.label) for curve in curves],
        up=[(tick.label, _y(axis.share(tick.value))) for tick in axis.ticks],
        along=[(f"{tick.value:g}", _x(along.share(tick.value))) for tick in along.ticks],
        curves=[(curve.css_class, _runs(curve, axis, along), _end(curve, axis, along)) for curve in curves],
        figures=[_figure(curve, language) for curve in curves if curve.values],
    )


def _runs(curve: StepCurve, axis: Axis | LogAxis, along: Axis) -> list[str]:
    """The points of each run of finite values."""
    runs: list[list[str]] = [[]]
    for n, value in enumerate(curve.values, 1):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{_x(along.share(n)):.1f},{_y(axis.share(value)):.1f}")
    return [" ".join(run) for run in runs if run]


def _end(curve: StepCurve, axis: Axis | LogAxis, along: Axis) -> tuple[float, float] | None:
    """The last finite value, which is marked."""
    known = [(n, value) for n, value in enumerate(curve.values, 1) if value is not None]
    return (_x(along.share(known[-1][0])), _y(axis.share(known[-1][1]))) if known else None


def _figure(curve: StepCurve, language: str) -> str:
    first, last = (UNKNOWN_VALUE if v is None else significant(v) for v in (curve.values[0], curve.values[-1]))
    return text("train.chart.figure", language, recipe=curve.label, first=first, last=last, steps=len(curve.values))


UNKNOWN_VALUE = "NaN"


def _x(share: float) -> float:
    return LEFT + (RIGHT - LEFT) * share


def _y(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share
