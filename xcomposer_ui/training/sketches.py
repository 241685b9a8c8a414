"""Drawing of training's sketches: shapes of any size drawn with a brush on a plain canvas, as people do on the page."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from xcomposer_ui.training.drawing import Points, degraded, hand_drawn, outline
from xcomposer_ui.training.world import (
    COLOURS,
    MAX_THINGS,
    SHAPES,
    Rgb,
    Rng,
    Scene,
    Thing,
    has_contrast,
    sample_colour,
)

SHORT = 252
"""Shorter side of a sketch in pixels: twice the model's, so that scaling down smooths the edges."""

STYLES = ("line", "sides", "solid", "hatched")
"""An outline in one stroke, an outline with a stroke for each side, a solid shape, a shape filled with strokes."""

LARGEST = (0.0, 0.85, 0.56, 0.45, 0.34, 0.28)
"""Largest diameter of a shape, as a fraction of the shorter side, by the number of shapes."""


def sketched_outline(rng: Rng, shape: int) -> Points:
    """Outline of SHAPES[shape] by hand, (N, 2): stretched, turned, centred, the larger half-extent 1."""
    corners = outline(rng, shape)
    corners = corners + rng.normal(0, 0.03 if len(corners) < 36 else 0.0, corners.shape)
    points = hand_drawn(rng, corners) * (rng.uniform(0.82, 1.22), 1)
    turn = np.deg2rad(rng.uniform(-13, 13))
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points -= (points.min(0) + points.max(0)) / 2
    return np.asarray(points / np.abs(points).max())


def _line(rng: Rng, closed: Points) -> Points:
    """One stroke around the polygon `closed` whose end stops short of its start or goes past it."""
    count = len(closed)
    start, length = int(rng.integers(count)), count + round(count * rng.uniform(-0.05, 0.1))
    stroke = closed[(start + np.arange(length + 1)) % count]
    off = rng.normal(0, 0.03, 2) * np.ptp(closed, axis=0)
    return np.asarray(stroke + np.linspace(0, 1, len(stroke))[:, None] ** 4 * off)


def _sides(rng: Rng, closed: Points, corners: int) -> list[Points]:
    """A stroke for each side of the polygon `closed`, stopping short of the corners or going past them."""
    steps = len(closed) // corners
    strokes = []
    for n in range(corners):
        side = closed[(n * steps + np.arange(steps + 1)) % len(closed)]
        first, last = rng.normal(0, 0.05, 2)
        ends = side[0] + first * (side[0] - side[-1]), side[-1] + last * (side[-1] - side[0])
        strokes.append(np.stack([ends[0], *side[1:-1], ends[1]]) + rng.normal(0, 0.008, 2) * np.ptp(closed, axis=0))
    return strokes


def _through(rng: Rng, points: Points) -> Points:
    """One stroke through `points` (N, 2) on straight lines, with small deviations."""
    t = np.linspace(0, len(points) - 1, 12 * len(points))
    stroke = np.stack([np.interp(t, np.arange(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)
    waves = np.sin(np.outer(t, rng.uniform(0.5, 4, 4)) + rng.uniform(0, 6.3, 4))
    return np.asarray(stroke + waves @ rng.normal(0, 0.01, (4, 2)) * np.ptp(points, axis=0).max())


def sketched_strokes(rng: Rng, shape: int, style: str, brush: float) -> tuple[Points, list[Points]]:
    """Strokes of SHAPES[shape] with half-extent 1 for a brush of width `brush`, and its outline for the labels."""
    closed = sketched_outline(rng, shape)
    crossing = style in ("line", "sides") and rng.random() < 0.45
    if crossing and shape == 3:  # a pentagram, without lifting the brush
        angles = np.deg2rad(np.arange(10) * 36 - 90 + rng.uniform(-10, 10))
        radii = np.where(np.arange(10) % 2, 0.4, 1.0)[:, None]
        closed = radii * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        tips = closed[::2] + rng.normal(0, 0.05, (5, 2))
        return closed, [_through(rng, tips[[0, 2, 4, 1, 3, 0]] + rng.normal(0, 0.02, (6, 2)))]
    if crossing and shape == 5:  # two strokes
        a = max(brush / 2, 0.12)
        closed = np.array(
            [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]
        )
        ends = np.array([[(-1, 0), (1, 0)], [(0, -1), (0, 1)]]) + rng.normal(0, 0.07, (2, 2, 2))
        return closed, [_through(rng, two) for two in ends]
    if style == "sides" and shape != 0:
        return closed, _sides(rng, closed, (0, 4, 3, 10, 4, 12)[shape])
    return closed, [_line(rng, closed)]


def _pixels(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _paint_strokes(mask: Image.Image, strokes: list[Points], width: float) -> None:
    """Draw `strokes`, in pixels, with a round brush of `width` pixels."""
    pencil, radius = ImageDraw.Draw(mask), width / 2
    for stroke in strokes:
        pencil.line(_pixels(stroke), fill=255, width=max(1, round(width)), joint="curve")
        for x, y in stroke[[0, -1]]:
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _hatch(rng: Rng, closed: Points, size: tuple[int, int], width: float) -> Image.Image:
    """Strokes of `width` pixels in one direction over the inside of `closed`, in pixels, denser or looser."""
    inside, lines = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(inside).polygon(_pixels(closed), fill=255)
    angle, reach = rng.uniform(0, np.pi), float(np.ptp(closed, axis=0).max())
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    levels = np.arange(-reach, reach, width * rng.uniform(0.5, 1.6))
    levels = levels + rng.normal(0, 0.12 * width, levels.shape)
    middle = closed.mean(0)
    tilts = rng.normal(0, 0.12 * width, levels.shape)
    for level, tilt in zip(levels, tilts, strict=True):
        first, last = middle + (level - tilt) * across - reach * along, middle + (level + tilt) * across + reach * along
        _paint_strokes(lines, [np.stack((first, last))], width)
    return ImageChops.multiply(inside, lines)


def _painted(
    rng: Rng, size: tuple[int, int], style: str, closed: Points, strokes: list[Points], w: float
) -> Image.Image:
    """Mask of `size` of one shape, its outline and strokes in pixels, for a brush of `w` pixels."""
    mask = Image.new("L", size)
    if style == "solid":
        ImageDraw.Draw(mask).polygon(_pixels(closed), fill=255)
        return mask
    if style == "hatched":
        mask = _hatch(rng, closed, size, w)
        if rng.random() < 0.2:
            return mask
    _paint_strokes(mask, strokes, w)
    return mask


def _canvas(rng: Rng) -> tuple[tuple[int, int], Rgb]:
    """Size and colour of the canvas, mostly square and white."""
    long = SHORT if rng.random() < 0.75 else round(SHORT * rng.uniform(1, 1.7))
    size = (SHORT, long) if rng.random() < 0.4 else (long, SHORT)
    if rng.random() < 0.8:
        return size, (255, 255, 255)
    red, green, blue = (int(v) for v in rng.integers(0 if rng.random() < 0.3 else 205, 256, 3))
    return size, (red, green, blue)


def sample_sketch(rng: Rng) -> tuple[Image.Image, Scene, list[Points]]:
    """Sample a sketch, with its scene and the outlines of its things in 0..1 of width and height."""
    size, paper = _canvas(rng)
    picture, style = Image.new("RGB", size, paper), STYLES[int(rng.choice(4, p=(0.42, 0.22, 0.16, 0.2)))]
    brush = float(np.exp(rng.uniform(np.log(0.01), np.log(0.065))))  # of the shorter side
    count = int(rng.choice(MAX_THINGS + 1, p=(0.03, 0.41, 0.27, 0.17, 0.07, 0.05)))
    things: list[Thing] = []
    outlines: list[Points] = []
    for _ in range(count * 12):
        if len(things) == count:
            break
        largest = LARGEST[count]
        extent = float(rng.uniform(min(max(0.14, 4 * brush), 0.8 * largest), largest))
        reach = np.array([0.5 * extent + 0.5 * brush + 0.01] * 2) * SHORT
        x, y = (float(rng.uniform(r, side - r)) for r, side in zip(reach, size, strict=True))
        near = (max(abs(x - t.x * size[0]), abs(y - t.y * size[1])) - reach[0] - t.extent * SHORT / 2 for t in things)
        shape, colour = int(rng.integers(len(SHAPES))), int(rng.integers(len(COLOURS)))
        rgb = sample_colour(rng, colour)
        if not has_contrast(rgb, (paper, paper), 75) or min(near, default=np.inf) < brush * SHORT / 2:
            continue
        closed, strokes = sketched_strokes(rng, shape, style, 2 * brush / extent)
        scale, centre = extent * SHORT / 2, np.array([x, y])
        placed = closed * scale + centre
        mask = _painted(rng, size, style, placed, [s * scale + centre for s in strokes], brush * SHORT)
        picture.paste(rgb, mask=mask)
        things.append(Thing(shape, colour, x / size[0], y / size[1], extent, 0.0, rgb))
        outlines.append(placed / size)
    scene = Scene(*size, tuple(things), (paper, paper), by_brush=True)
    return (degraded(rng, picture) if rng.random() < 0.3 else picture), scene, outlines
