"""The charts of a training: values over its steps, a line for each recipe, and the magnitudes of the gradients.

The gradients stand over the range of the dtype that they are computed in, a row for each recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from markupsafe import Markup

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import share, significant
from xcomposer_ui.finetuning.probe import Histogram, summed
from xcomposer_ui.finetuning.result import RecipeResult
from xcomposer_ui.lesson.formats import FloatFormat, format_named
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.axis import Axis, LogAxis, curve_class, number_axis, unbroken_lines

WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 60, 410, 10, 186
"""Of the SVG and of the plot's area in it, in pixels."""

AXIS = LogAxis(-14, 6)
"""From below float16's smallest number, 6e-8, with space for what is lost there, to beyond its largest, 65504."""

BARS_WIDTH, BARS_HEIGHT = 720, 74


@dataclass(frozen=True)
class StepCurve:
    """values: of each step from the first; None where it is not finite. line: "solid", "dotted" or "dashed"."""

    label: str
    dtype: str
    line: str
    values: tuple[float | None, ...]

    @property
    def css_class(self) -> str:
        return curve_class(self.dtype, self.line)

    def points(self, axis: Axis | LogAxis, along: Axis) -> list[tuple[float, float | None]]:
        """(x, y) of each step; y is None where the value is not finite."""
        return [
            (_x(along.share(n)), None if value is None else _y(axis.share(value)))
            for n, value in enumerate(self.values, 1)
        ]


def step_curves(title: str, curves: Sequence[StepCurve], axis: Axis | LogAxis, steps: int, language: str) -> Markup:
    """The chart of `curves` on one scale. steps: that the axis along ends at."""
    along = number_axis(steps)
    drawn = [(curve.css_class, curve.points(axis, along)) for curve in curves]
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
        curves=[
            # The last finite value is marked.
            (css_class, unbroken_lines(points), next((point for point in points[::-1] if point[1] is not None), None))
            for css_class, points in drawn
        ],
        figures=[_figure(curve, language) for curve in curves if curve.values],
    )


def _figure(curve: StepCurve, language: str) -> str:
    first, last = ("NaN" if v is None else significant(v) for v in (curve.values[0], curve.values[-1]))
    return text("train.chart.figure", language, recipe=curve.label, first=first, last=last, steps=len(curve.values))


def _x(part: float) -> float:
    return LEFT + (RIGHT - LEFT) * part


def _y(part: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * part


@dataclass(frozen=True)
class Region:
    """A part of a dtype's range: "zero", "subnormal", "normal" or "infinite", as shares of the axis."""

    name: str
    left: float
    right: float

    @property
    def width(self) -> float:
        """The part's share of the axis."""
        return self.right - self.left


def gradient_histograms(results: Sequence[RecipeResult], language: str) -> Markup:
    """The chart; empty where no recipe of 16 bits was measured yet."""
    shown = [r for r in results if r.probes and r.method.computed_dtype != "float32"]
    if not shown:
        return Markup()
    ticks = [(f"1e{power}", AXIS.share(10.0**power)) for power in range(AXIS.lowest, AXIS.highest + 1, 2)]
    return render(
        "gradient_histogram",
        language,
        rows=[_row(result, language) for result in shown],
        ticks=ticks,
        width=BARS_WIDTH,
        height=BARS_HEIGHT,
    )


def regions(dtype: FloatFormat) -> list[Region]:
    """The parts of the axis: what becomes zero, what loses bits, what is represented in full, what overflows."""
    # A value rounds to zero below half of the smallest subnormal.
    ends = [0.0, *map(AXIS.share, (dtype.smallest / 2, dtype.smallest_normal, dtype.largest)), 1.0]
    ends = [min(max(end, 0.0), 1.0) for end in ends]
    names = ("zero", "subnormal", "normal", "infinite")
    found = (Region(name, left, right) for name, (left, right) in zip(names, pairwise(ends), strict=True))
    return [region for region in found if region.width > 0]


def seen_by_backward(result: RecipeResult) -> Histogram:
    """Float32's gradients times the loss scale: what the recipe's backward pass has to represent."""
    return summed(probe.histogram.scaled(round(log2(probe.loss_scale))) for probe in result.probes)


def _row(result: RecipeResult, language: str) -> dict[str, object]:
    histogram, method = seen_by_backward(result), result.method
    parts = regions(format_named(method.computed_dtype))
    scales = [probe.loss_scale for probe in result.probes]
    return {
        "recipe": method,
        "scale": f"× {max(scales):.0f}" if max(scales) > 1 else "",
        "bars": _bars(histogram, parts),
        "regions": parts,
        "figures": _figures(result, language),
    }


def _bars(histogram: Histogram, parts: list[Region]) -> list[tuple[str, float, float, float]]:
    """(region, left, width, height) of each bin, all as shares. Bins beyond an end of the axis are drawn at it."""
    most = max(histogram.counts, default=1)
    bars = []
    for n, count in enumerate(histogram.counts):
        left, right = (AXIS.share(2.0 ** (histogram.lowest + n + side)) for side in (0, 1))
        if count and 0 <= left < right <= 1:
            region = next(part.name for part in parts if left < part.right - 1e-9 or part is parts[-1])
            bars.append((region, left, right - left, count / most))
    return bars


def _figures(result: RecipeResult, language: str) -> str:
    counts = result.gradients
    shares = {name: share(getattr(counts, name) / counts.elements) for name in ("zero", "subnormal", "overflow")}
    return text("train.histogram.figures", language, **shares)
