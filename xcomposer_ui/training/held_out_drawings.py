"""Drawing of the evaluation's brush drawings, as visitors make them on the page's canvas of 336 by 336 pixels.

A brush stroke is a row of discs along a path, antialiased. Lines bow and tremble, corners are off, sides need not meet.
The code shares nothing with `drawing` and `sketches`, which draw for training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xcomposer_ui.training.evaluation import GROUP_SIZE, EvaluationItem, PictureGroup, sample_items
from xcomposer_ui.training.holdout import sample_held_out_colour
from xcomposer_ui.training.world import COLOURS, SHAPES, Rgb, Rng, Scene, Thing, has_clear_place

Path = NDArray[np.float64]
"""Points (N, 2) in pixels."""

SIDE = 336
"""Width and height of the canvas in pixels."""

LARGE = 110
"""From this diameter in pixels on, a shape counts as large."""

STYLES = ("thin outline", "outline", "separate strokes", "filled", "hatched")
"""How a drawing is made: outlines with brushes of 4 to 8 and of 9 to 20 pixels; outlines whose sides are strokes of
their own, which miss each other or cross; solid shapes; shapes filled with strokes to and fro."""


@dataclass(frozen=True)
class BrushDrawing:
    """A drawing of one to three shapes on white.

    style: one of STYLES. large: whether its largest shape is `LARGE`.
    """

    picture: Image.Image
    scene: Scene
    style: str
    large: bool


def _corners(rng: Rng, shape: int) -> Path:
    """Corners of SHAPES[shape], not a circle, within about -1..1."""
    points: list[tuple[float, float]]
    if shape == 1:
        points = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    elif shape == 2:
        points = [(rng.uniform(-0.15, 0.15), -1), (1, 1), (-1, 1)]
    elif shape == 3:
        inner = rng.uniform(0.36, 0.5)
        turns = np.arange(10) / 10
        radii = np.where(np.arange(10) % 2, inner, 1.0)
        return np.asarray(radii[:, None] * np.stack((np.sin(2 * np.pi * turns), -np.cos(2 * np.pi * turns)), axis=1))
    elif shape == 4:
        wide = rng.uniform(0.6, 1)
        points = [(0, -1), (wide, 0), (0, 1), (-wide, 0)]
    else:
        arm = rng.uniform(0.24, 0.4)
        upper = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
        points = [*upper, *((-x, -y) for x, y in upper)]
    return np.array(points, dtype=np.float64)


def _trembling(rng: Rng, path: Path, amount: float) -> Path:
    """Add smooth noise of about `amount` pixels to `path`."""
    window = min(25, len(path))
    noise = rng.normal(size=(len(path) + window - 1, 2))
    smooth = np.stack([np.convolve(noise[:, axis], np.ones(window) / window**0.5, "valid") for axis in (0, 1)], axis=1)
    return path + amount * smooth


def _side(rng: Rng, start: Path, end: Path) -> Path:
    """A line drawn by hand from `start` to `end`: bowed and trembling."""
    length = float(np.hypot(*(end - start)))
    t = np.linspace(0, 1, max(3, round(length / 2)))[:, None]
    normal = np.array([start[1] - end[1], end[0] - start[0]])
    bow = rng.normal(0, 0.025) * 4 * t * (1 - t) * normal
    return _trembling(rng, start + t * (end - start) + bow, 0.004 * length + 0.3)


def _circle(rng: Rng, radii: Path) -> Path:
    """One turn around the origin whose end misses its start by up to a tenth of a turn."""
    start, missed = rng.uniform(0, 2 * np.pi), rng.uniform(-0.05, 0.1) * 2 * np.pi
    angles = np.linspace(start, start + 2 * np.pi + missed, round(2 * float(radii.max())) + 20)
    swelling = 1 + rng.normal(0, 0.04) * np.sin(angles + rng.uniform(0, 6)) + rng.normal(0, 0.02) * (angles - start) / 6
    return _trembling(rng, radii * swelling[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1), 0.8)


def _outline(rng: Rng, shape: int, radii: Path, style: str) -> list[Path]:
    """Strokes of the outline of SHAPES[shape] with these half-extents, (2,) in pixels, about the origin."""
    size = float(radii.max())
    if shape == 0:
        return [_circle(rng, radii)]
    unit = _corners(rng, shape)
    as_lines = style not in ("filled", "hatched") and rng.random() < 0.5
    if shape == 5 and as_lines:  # two crossing strokes
        ends = radii * np.array([(-1.0, 0), (1, 0), (0, -1), (0, 1)]) + rng.normal(0, 0.03 * size, (4, 2))
        return [_side(rng, ends[0], ends[1]), _side(rng, ends[2], ends[3])]
    if shape == 3 and as_lines:  # a pentagram, without lifting the brush
        unit = unit[[0, 4, 8, 2, 6]]
    corners = radii * unit + rng.normal(0, 0.025 * size, unit.shape)
    pairs = list(zip(corners, np.roll(corners, -1, axis=0), strict=True))
    if style == "separate strokes":
        misses = [(e - s) * rng.normal(0, 0.035, 2) for s, e in pairs for _ in (0, 1)]
        return [_side(rng, s + misses[2 * n], e + misses[2 * n + 1]) for n, (s, e) in enumerate(pairs)]
    sides = [_side(rng, s, e) for s, e in pairs]
    sides[-1] = sides[-1] + np.linspace(0, 1, len(sides[-1]))[:, None] * rng.normal(0, 0.04 * size, 2)
    return [np.concatenate(sides)]


def _hatching(rng: Rng, path: Path, brush: float) -> list[Path]:
    """Strokes to and fro, across or down, that fill the closed `path`."""
    down = rng.random() < 0.5
    canvas = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in (path[:, ::-1] if down else path)], fill=1)
    inside = np.asarray(canvas)
    spacing, strokes, row = brush * rng.uniform(0.6, 1.25), [], brush / 2
    while row < SIDE:
        ends = np.flatnonzero(np.diff(np.pad(inside[int(row)], 1).astype(int))).reshape(-1, 2)
        for first, last in ends:
            level = row + rng.normal(0, 0.08 * brush, 2)
            strokes.append(_side(rng, np.array([first + 1.0, level[0]]), np.array([last - 1.0, level[1]])))
        row += spacing
    return [stroke[:, ::-1] for stroke in strokes] if down else strokes


def _painted(picture: Image.Image, strokes: list[Path], brush: float, rgb: Rgb, solid: Path | None) -> None:
    """Paint `strokes`, and the inside of `solid`, onto `picture` in `rgb`."""
    scale = 2  # for the antialiasing
    mask = Image.new("L", (SIDE * scale, SIDE * scale))
    pencil, radius = ImageDraw.Draw(mask), brush / 2 * scale
    if solid is not None:
        pencil.polygon([(float(x), float(y)) for x, y in solid * scale], fill=255)
    for x, y in np.concatenate(strokes) * scale:
        pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    picture.paste(rgb, mask=mask.resize(picture.size, Image.Resampling.BOX))


def _room(rng: Rng, things: list[tuple[float, float, Path]], radii: Path) -> tuple[float, float] | None:
    """A centre in pixels for a shape with these half-extents, apart from the others; None where none was found."""
    for _ in range(60):
        x, y = (float(rng.uniform(r + 6, SIDE - r - 6)) for r in radii)
        apart = all(abs(x - a) > radii[0] + r[0] + 8 or abs(y - b) > radii[1] + r[1] + 8 for a, b, r in things)
        if apart and has_clear_place(x / SIDE, y / SIDE, 0.04):
            return x, y
    return None


def brush_drawing(rng: Rng, style: str) -> BrushDrawing:
    """Draw one to three shapes of 60 to 250 pixels in `style`, one of STYLES; a full canvas gets fewer."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    brush = float(rng.uniform(4, 8) if style == "thin outline" else rng.uniform(9, 20))
    count = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
    things: list[Thing] = []
    taken: list[tuple[float, float, Path]] = []
    for _ in range(12 * count):
        if len(things) == count:
            break
        size = rng.uniform(max(60, 5 * brush), 250 if count == 1 else 170 - 20 * len(things))
        shape, reach = int(rng.integers(len(SHAPES))), brush / 2 * (style != "filled")
        flat = np.array([1, rng.uniform(0.85, 1)])
        radii = size / 2 * (flat if rng.random() < 0.5 else flat[::-1])
        centre = _room(rng, taken, radii * 1.06)
        if centre is None:
            continue
        turn = np.deg2rad(rng.uniform(-8, 8))
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        strokes = [s @ rotation + centre for s in _outline(rng, shape, radii - reach, style)]
        solid = strokes[0] if style == "filled" else None
        if style == "hatched":
            strokes += _hatching(rng, strokes[0], brush)
        colour = int(rng.integers(len(COLOURS) - 1))  # all but white
        rgb = sample_held_out_colour(rng, colour)
        _painted(picture, strokes, 2 if style == "filled" else brush, rgb, solid)
        taken.append((*centre, radii * 1.06))
        x, y = (value / SIDE for value in centre)
        things.append(Thing(shape, colour, x, y, float(2 * radii.max() / SIDE), float(np.rad2deg(turn)), rgb))
    large = max(thing.extent for thing in things) * SIDE >= LARGE
    return BrushDrawing(picture, Scene(SIDE, SIDE, tuple(things)), style, large)


def brush_drawings(seed: int, pictures: int) -> Iterator[PictureGroup]:
    """Yield groups of drawings, of each style equally many, with their questions about shapes.

    The questions count in rows of the drawing's style and size, not of their kind.
    """
    rng = np.random.default_rng((seed, 10))
    for start in range(0, pictures, GROUP_SIZE):
        numbers = range(start, min(start + GROUP_SIZE, pictures))
        drawings = [brush_drawing(rng, STYLES[n % len(STYLES)]) for n in numbers]
        items: list[EvaluationItem] = []
        for n, drawing in enumerate(drawings):
            row = f"{drawing.style}, {'large' if drawing.large else 'small'}"
            asked = sample_items(rng, n, drawing.scene)
            items += [replace(item, row=row) for item in asked if item.row != "refusal"]
        yield [drawing.picture for drawing in drawings], items
