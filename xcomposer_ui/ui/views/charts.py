"""Charts drawn by hand: bars from zero, and the error over depth. Every text in them is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xcomposer_ui.compare.divergence import LayerDivergence
from xcomposer_ui.ui.views.marks import COLOURED, escaped

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 26
QUARTILES = ("lowest", "lower_quartile", "median", "upper_quartile", "highest")
LOWEST_ERROR = 1e-9
"""Errors below are drawn there: a logarithm has no zero."""


@dataclass(frozen=True)
class Bar:
    """value: from zero, in any unit, None where nothing was measured. part: of it, drawn darker. low, high: spread."""

    label: str
    dtype: str
    said: str
    value: float | None
    part: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Box:
    """A distribution. spread: `lowest`, `lower_quartile`, `median`, `upper_quartile`, `highest`, none below zero."""

    label: str
    dtype: str
    said: str
    spread: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """One variant's layers, in the order of the forward. line: "solid", "dotted", or "floor" for that of them all."""

    label: str
    dtype: str
    layers: tuple[LayerDivergence, ...]
    line: str = "solid"


def bars(title: str, values: Sequence[Bar]) -> str:
    """Horizontal bars that begin at zero, on one scale, each with its figure beside it."""
    most = max([v for bar in values for v in (bar.value, bar.high) if v is not None], default=0.0) or 1.0
    rows = "".join(_bar(bar, most) for bar in values)
    return f'<figure class="xl-bars"><figcaption>{escaped(title)}</figcaption><dl>{rows}</dl></figure>'


def boxes(title: str, values: Sequence[Box]) -> str:
    """Quartiles as boxes, with their median, on a line from the lowest to the highest; one scale from zero."""
    most = max([box.spread["highest"] for box in values], default=0.0) or 1.0
    rows = "".join(_box(box, most) for box in values)
    return f'<figure class="xl-bars xl-boxes"><figcaption>{escaped(title)}</figcaption><dl>{rows}</dl></figure>'


def depth(title: str, regions: tuple[str, str], curves: Sequence[Curve], not_finite: str) -> str:
    """Relative error of each stage, logarithmic, over the stages in the order of the forward.

    regions: what the vision tower and the language model are called. A stage whose error is not a number is marked
    on the upper edge, where the curve breaks off.
    """
    drawn = [curve for curve in curves if any(layer.is_block for layer in curve.layers)]
    stages = max(([_key(s) for s in _stages(c)] for c in drawn), key=len, default=[])
    if not stages:
        return ""
    errors = [e for c in drawn for s in _stages(c) if (e := s.relative_error)]
    lowest = math.floor(math.log10(max(min(errors, default=1e-6), LOWEST_ERROR)))
    highest = max(math.ceil(math.log10(max(errors, default=1.0))), lowest + 1)
    place = {key: n for n, key in enumerate(stages)}
    scale = _Scale(len(stages), lowest, highest)
    lines = "".join(_curve(curve, place, scale, not_finite) for curve in drawn)
    legend = "".join(f'<li class="{_kind(c)}"><i aria-hidden="true"></i>{escaped(c.label)}</li>' for c in drawn)
    return (
        f'<figure class="xl-depth"><figcaption>{escaped(title)}</figcaption><ul class="xl-legend">{legend}</ul>'
        f'<div class="xl-scroll"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(title)}">'
        f"{_axes(scale)}{_regions(stages, regions, scale)}{lines}</svg></div></figure>"
    )


@dataclass(frozen=True)
class _Scale:
    stages: int
    lowest: int
    highest: int

    def x(self, n: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (n / (self.stages - 1) if self.stages > 1 else 0.5)

    def y(self, error: float) -> float:
        share = (math.log10(max(error, 10.0**self.lowest)) - self.lowest) / (self.highest - self.lowest)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _bar(bar: Bar, most: float) -> str:
    head = f"<dt>{escaped(bar.label)}</dt>"
    if bar.value is None:
        return f'{head}<dd class="xl-none"><span>{escaped(bar.said)}</span></dd>'
    dtype = bar.dtype if bar.dtype in COLOURED else "other"
    part = "" if bar.part is None else f'<b style="width:{100 * bar.part / most:.2f}%"></b>'
    whisker = ""
    if bar.low is not None and bar.high is not None:
        whisker = f'<u style="left:{100 * bar.low / most:.2f}%;width:{100 * (bar.high - bar.low) / most:.2f}%"></u>'
    return (
        f'{head}<dd class="xl-{dtype}"><span class="xl-track"><i style="width:{100 * bar.value / most:.2f}%"></i>'
        f"{part}{whisker}</span><span>{escaped(bar.said)}</span></dd>"
    )


def _box(box: Box, most: float) -> str:
    at = {name: 100 * box.spread[name] / most for name in QUARTILES}
    dtype = box.dtype if box.dtype in COLOURED else "other"
    return (
        f'<dt>{escaped(box.label)}</dt><dd class="xl-{dtype}"><span class="xl-track">'
        f'<u style="left:{at["lowest"]:.2f}%;width:{at["highest"] - at["lowest"]:.2f}%"></u>'
        f'<i style="left:{at["lower_quartile"]:.2f}%;width:{at["upper_quartile"] - at["lower_quartile"]:.2f}%"></i>'
        f'<b style="left:{at["median"]:.2f}%"></b></span><span>{escaped(box.said)}</span></dd>'
    )


def _regions(stages: Sequence[tuple[str, int]], names: tuple[str, str], scale: _Scale) -> str:
    """Where the vision tower's stages end and the language model's begin; text alone has the latter only."""
    border = next((n for n, (module, _) in enumerate(stages) if module.startswith("model.")), len(stages))
    shown = ""
    for name, first, last in ((names[0], 0, border - 1), (names[1], border, len(stages) - 1)):
        if last >= first:
            middle = (scale.x(first) + scale.x(last)) / 2
            shown += f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escaped(name)}</text>'
    if 0 < border < len(stages):
        x = (scale.x(border - 1) + scale.x(border)) / 2
        shown += f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - 4}"/>'
    return f'<g class="xl-axes xl-regions">{shown}</g>'


def _stages(curve: Curve) -> list[LayerDivergence]:
    return [layer for layer in curve.layers if layer.is_block]


def _key(layer: LayerDivergence) -> tuple[str, int]:
    return layer.module, layer.call


def _kind(curve: Curve) -> str:
    dtype = curve.dtype if curve.dtype in COLOURED else "other"
    return f"xl-curve xl-{dtype} xl-line-{curve.line}"


def _curve(curve: Curve, place: dict[tuple[str, int], int], scale: _Scale, not_finite: str) -> str:
    runs: list[list[str]] = [[]]
    marks = ""
    for layer in _stages(curve):
        x = scale.x(place[_key(layer)]) if _key(layer) in place else None
        if x is None or layer.relative_error == 0:  # an embedding that is the same has no place on a logarithm
            continue
        error = layer.relative_error
        said = not_finite if error is None else f"{error:.2e}"
        title = f"<title>{escaped(f'{curve.label}, {layer.module}: {said}')}</title>"
        if error is None:
            runs.append([])
            marks += f'<rect class="xl-broken" x="{x - 4:.1f}" y="{TOP - 4}" width="8" height="8">{title}</rect>'
            continue
        runs[-1].append(f"{x:.1f},{scale.y(error):.1f}")
        marks += f'<circle cx="{x:.1f}" cy="{scale.y(error):.1f}" r="2.6">{title}</circle>'
    lines = "".join(f'<polyline points="{" ".join(points)}"/>' for points in runs if len(points) > 1)
    return f'<g class="{_kind(curve)}">{lines}{marks}</g>'


def _axes(scale: _Scale) -> str:
    grid = ""
    for power in range(scale.lowest, scale.highest + 1):
        y = scale.y(10.0**power)
        grid += (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">1e{power}</text>'
        )
    return f'<g class="xl-axes">{grid}</g>'
