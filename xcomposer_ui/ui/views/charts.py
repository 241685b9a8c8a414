"""Charts of a comparison and of a plan: bars from zero, distributions, memory in parts, the error over depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.divergence import LayerDivergence
from xcomposer_ui.core.messages import text
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.axis import LogAxis, curve_class, log_axis, memory_axis, plain_axis, unbroken_lines


@dataclass(frozen=True)
class Bar:
    """A value from zero, in any unit; None where nothing was measured. figure: the value as text.

    part: of the value, drawn darker. low, high: its spread.
    """

    label: str
    dtype: str
    figure: str
    value: float | None
    part: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Box:
    """A distribution. figure: its median as text.

    spread: `lowest`, `lower_quartile`, `median`, `upper_quartile`, `highest`, none below zero.
    """

    label: str
    dtype: str
    figure: str
    spread: Mapping[str, float]


@dataclass(frozen=True)
class MemoryBar:
    """parts: bytes of each part, in the legend's order."""

    label: str
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """One variant's layers, in the order of the forward. line: "solid", "dotted", or "floor" for the floor of all."""

    label: str
    dtype: str
    layers: tuple[LayerDivergence, ...]
    line: str = "solid"

    @property
    def stages(self) -> list[LayerDivergence]:
        """The layers that are drawn."""
        return [layer for layer in self.layers if layer.is_block]

    def coincides(self, other: Curve) -> bool:
        """Whether both would be drawn as one line: the same dtype and, within 2 %, the same error at each stage."""
        mine, theirs = ({_key(layer): layer.relative_error for layer in curve.stages} for curve in (self, other))
        if self.dtype != other.dtype or self.line == "floor" or not mine or mine.keys() != theirs.keys():
            return False
        pairs = [(mine[key], theirs[key]) for key in mine]
        return all(a == b if a is None or b is None else math.isclose(a, b, rel_tol=0.02) for a, b in pairs)

    @property
    def css_class(self) -> str:
        return curve_class(self.dtype, self.line)


def bars(title: str, values: Sequence[Bar]) -> Markup:
    """Horizontal bars that begin at zero, on one scale, each with its figure beside it."""
    axis = plain_axis(value for bar in values for value in (bar.value, bar.high))
    return render("bars", title=title, bars=values, axis=axis)


def boxes(title: str, values: Sequence[Box]) -> Markup:
    """Quartiles as boxes, with their median, on a line from the lowest to the highest; one scale from zero."""
    return render("boxes", title=title, boxes=values, axis=plain_axis(box.spread["highest"] for box in values))


def memory_bars(
    title: str, legend: Sequence[str], values: Sequence[MemoryBar], line: tuple[int, str] | None = None
) -> Markup:
    """Bars of memory in parts, each with its total beside it. line: (bytes, label) of a limit that crosses the bars."""
    most = max((sum(bar.parts) for bar in values), default=0)
    # A distant limit would leave no space for the bars.
    limit = line[0] if line is not None and line[0] <= 2 * most else None
    entries = [(f"xl-part-{n}", name) for n, name in enumerate(legend)]
    return render(
        "memory_bars",
        title=title,
        parts=legend,
        legend=entries if line is None else [*entries, ("xl-limit", line[1])],
        bars=values,
        limit=limit,
        axis=memory_axis(max(most, limit or 0)),
    )


def depth(curves: Sequence[Curve], language: str) -> Markup:
    """Relative error of each stage, logarithmic, over the stages in the order of the forward.

    Curves that coincide are drawn as one. A stage whose error is not a number is marked on the upper edge, where the
    curve breaks off.
    """
    curves = merged(curves, language)
    drawn = [curve for curve in curves if curve.stages]
    stages = max(([_key(layer) for layer in curve.stages] for curve in drawn), key=len, default=[])
    if not stages:
        return Markup()
    errors = [error for curve in drawn for layer in curve.stages if (error := layer.relative_error)]
    plot = _DepthPlot(stages, log_axis(errors))
    return render(
        "depth",
        language,
        plot=plot,
        legend=[(curve.css_class, curve.label) for curve in drawn],
        grid=[(tick.label, plot.y(tick.value)) for tick in plot.errors.ticks],
        regions=plot.regions((text("compare.depth.tower", language), text("compare.depth.language", language))),
        curves=[_drawn(curve, plot, text("compare.not_finite", language)) for curve in drawn],
    )


def merged(curves: Sequence[Curve], language: str) -> list[Curve]:
    """`curves`, those that coincide drawn as one that names them all."""
    groups: list[list[Curve]] = []
    for curve in curves:
        group = next((group for group in groups if group[0].coincides(curve)), None)
        if group is None:
            groups.append([curve])
        else:
            group.append(curve)
    separator = text("list.separator", language)
    merged = []
    for first, *others in groups:
        names = separator.join(curve.label for curve in (first, *others))
        together = text("compare.depth.coincide", language, names=names)
        merged.append(replace(first, label=together, line="solid") if others else first)
    return merged


STRIP = LogAxis(-8, 0)
"""The errors of a strip: from float32's own precision to an error as large as the value."""


def strip(errors: Sequence[tuple[str, float | None]], label: str, title: str = "") -> Markup:
    """The relative error of each stage or token as a shade, in order.

    errors: (name, error) of each; None, which is marked, for a stage that is not finite or a token that differs.
    label: the same in words. title: how it was measured, where the label does not say it.
    """
    shades = [(name, None if error is None else min(1.0, max(0.0, STRIP.share(error)))) for name, error in errors]
    return render("strip", cells=shades, label=label, title=title or label) if errors else Markup()


@dataclass(frozen=True)
class _DepthPlot:
    """The area of the depth chart, in pixels. stages: (module, call) along it. errors: the axis upwards."""

    stages: Sequence[tuple[str, int]]
    errors: LogAxis
    width: int = 720
    height: int = 250
    left: int = 70
    right: int = 708
    top: int = 14
    bottom: int = 224

    def x(self, stage: float) -> float:
        """Of the stage with this index, which may lie between two."""
        return self.left + (self.right - self.left) * (stage / (len(self.stages) - 1) if len(self.stages) > 1 else 0.5)

    def y(self, error: float) -> float:
        return self.bottom - self.errors.share(error) * (self.bottom - self.top)

    @property
    def tower_stages(self) -> int:
        """How many stages lie before the language model; text alone has none."""
        stages = enumerate(self.stages)
        return next((n for n, (module, _) in stages if module.startswith("model.")), len(self.stages))

    @property
    def border(self) -> float | None:
        """x of the border between vision tower and language model, where both are there."""
        return self.x(self.tower_stages - 0.5) if 0 < self.tower_stages < len(self.stages) else None

    def regions(self, names: tuple[str, str]) -> list[tuple[str, float]]:
        """Name and middle of each region that has stages."""
        ends = ((0, self.tower_stages - 1), (self.tower_stages, len(self.stages) - 1))
        return [
            (name, (self.x(first) + self.x(last)) / 2)
            for name, (first, last) in zip(names, ends, strict=True)
            if last >= first
        ]


def _drawn(curve: Curve, plot: _DepthPlot, not_finite: str) -> dict[str, Any]:
    """A curve's marks, one a stage, and the lines between them. A stage whose error is not finite has no y, and ends a
    line."""
    marks: list[dict[str, Any]] = []
    places = {key: n for n, key in enumerate(plot.stages)}
    for layer in curve.stages:
        error = layer.relative_error
        if _key(layer) not in places or error == 0:  # zero has no logarithm
            continue
        x, y = plot.x(places[_key(layer)]), None if error is None else plot.y(error)
        title = f"{curve.label}, {layer.module}: {not_finite if error is None else f'{error:.2e}'}"
        marks.append({"x": x, "y": y, "title": title})
    lines = unbroken_lines((mark["x"], mark["y"]) for mark in marks)
    return {"css_class": curve.css_class, "lines": lines, "marks": marks}


def _key(layer: LayerDivergence) -> tuple[str, int]:
    return layer.module, layer.call
