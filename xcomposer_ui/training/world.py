"""The embedded model's domain: shapes, colours and places with their names, and random scenes of them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xcomposer_ui.training.phrases import load_data

Rng = np.random.Generator
Rgb = tuple[int, int, int]

LANGUAGES = ("en", "zh")


def pick(rng: Rng, options: Sequence[str]) -> str:
    """Choose one of `options` uniformly."""
    return options[int(rng.integers(len(options)))]


@dataclass(frozen=True)
class Word:
    """A word in both languages."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        """The word in `language`: "en" or "zh"."""
        return self.zh if language == "zh" else self.en


_WORDS = load_data("world")
SHAPES = tuple(Word(**word) for word in _WORDS["shapes"])
COLOURS = tuple(Word(**word) for word in _WORDS["colours"])
PLACES = tuple(Word(**word) for word in _WORDS["places"])
"""The nine cells of a picture divided in thirds, in reading order."""

MAX_THINGS = 5

# Ranges of hue in degrees, and of saturation and value in 0..1, for each of COLOURS. They contain the CSS colour of
# that name, and the neighbouring colours to which people give the same name.
_HSV: tuple[tuple[tuple[float, float], tuple[float, float], tuple[float, float]], ...] = (
    ((-14, 9), (0.72, 1.0), (0.62, 1.0)),
    ((92, 152), (0.5, 1.0), (0.38, 1.0)),
    ((206, 244), (0.6, 1.0), (0.5, 1.0)),
    ((48, 62), (0.62, 1.0), (0.86, 1.0)),
    ((260, 306), (0.42, 1.0), (0.4, 0.92)),
    ((22, 40), (0.75, 1.0), (0.88, 1.0)),
    ((0, 360), (0.0, 0.5), (0.0, 0.14)),
    ((0, 360), (0.0, 0.05), (0.93, 1.0)),
)


@dataclass(frozen=True)
class Thing:
    """One shape in a picture.

    shape, colour: indices into SHAPES and COLOURS. x, y: its centre, as fractions of the picture's width and height.
    extent: its diameter, as a fraction of the picture's shorter side. angle: rotation in degrees, clockwise.
    rgb: 0..255 each.
    """

    shape: int
    colour: int
    x: float
    y: float
    extent: float
    angle: float
    rgb: Rgb

    @property
    def place(self) -> int:
        """Index into PLACES of the cell that contains the centre."""
        return place_of(self.x, self.y)


@dataclass(frozen=True)
class Scene:
    """Contents of a picture.

    width, height: in pixels. things: the shapes in it, none when `drawn` is False.
    background: the two end colours of its gradient, 0..255 each; equal for a plain background.
    drawn: False for a photograph or noise. by_brush: whether it is a sketch.
    """

    width: int
    height: int
    things: tuple[Thing, ...] = ()
    background: tuple[Rgb, Rgb] = ((255, 255, 255), (255, 255, 255))
    drawn: bool = True
    by_brush: bool = False


def place_of(x: float, y: float) -> int:
    """Index into PLACES of the cell that contains the point (x, y), each 0..1."""
    return min(int(y * 3), 2) * 3 + min(int(x * 3), 2)


def has_clear_place(x: float, y: float, margin: float = 0.025) -> bool:
    """Whether (x, y), each 0..1, is at least `margin` away from the borders between places."""
    return all(abs(value - line) >= margin for value in (x, y) for line in (1 / 3, 2 / 3))


def description_order(scene: Scene) -> list[int]:
    """Indices of the scene's things in the order in which a description names them."""
    things = scene.things
    return sorted(range(len(things)), key=lambda n: (things[n].colour, things[n].shape, things[n].y, things[n].x))


def sample_colour(rng: Rng, colour: int) -> Rgb:
    """Sample an RGB colour, 0..255 each, that is recognisable as COLOURS[colour]."""
    hue, saturation, value = (rng.uniform(*span) for span in _HSV[colour])
    red, green, blue = colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def has_contrast(rgb: Rgb, background: tuple[Rgb, Rgb], minimum: float) -> bool:
    """Whether `rgb` is at least `minimum` (Euclidean, 0..441) from every colour of the background's gradient."""
    ends = np.array(background, dtype=np.float64)
    steps = ends[0] + np.linspace(0, 1, 5)[:, None] * (ends[1] - ends[0])
    return bool(np.linalg.norm(steps - np.array(rgb), axis=1).min() >= minimum)


def sample_background(rng: Rng) -> tuple[Rgb, Rgb]:
    """Sample the end colours of a background: plain with probability 1/2, otherwise a gradient."""
    kind = rng.random()
    if kind < 0.35:
        first = tuple(int(v) for v in rng.integers(215, 256, 3))
    elif kind < 0.42:
        first = (255, 255, 255)
    elif kind < 0.55:
        first = tuple(int(v) for v in rng.integers(0, 60, 3))
    else:
        first = tuple(int(v) for v in rng.integers(0, 256, 3))
    if rng.random() < 0.5:
        return first, first  # type: ignore[return-value]
    step = rng.integers(-90, 91, 3)
    second = tuple(int(v) for v in np.clip(np.array(first) + step, 0, 255))
    return first, second  # type: ignore[return-value]


def sample_scene(
    rng: Rng,
    width: int,
    height: int,
    *,
    count: int,
    extent: tuple[float, float] = (0.11, 0.37),
    contrast: float = 75.0,
) -> Scene:
    """Sample a scene whose things lie inside the picture and do not touch.

    Args:
        rng: source of randomness.
        width, height: in pixels.
        count: number of things; a crowded picture may get fewer.
        extent: smallest and largest extent, as fractions of the shorter side.
        contrast: smallest distance (Euclidean RGB) between a thing and the background.
    """
    background = sample_background(rng)
    things: list[Thing] = []
    largest = extent[1] if count < 4 else extent[0] + 0.8 * (extent[1] - extent[0])
    short = min(width, height)
    for _ in range(count * 12):
        if len(things) == count:
            break
        size = extent[0] + (largest - extent[0]) * rng.random() ** 1.6  # many small ones: they are the hardest
        reach = 0.62 * size * short  # bounding radius in pixels; a rotated square exceeds half its side
        if 2 * reach >= short:
            continue
        x, y = rng.uniform(reach, width - reach), rng.uniform(reach, height - reach)
        if any(np.hypot(x - t.x * width, y - t.y * height) < reach + 0.62 * t.extent * short + 1.5 for t in things):
            continue
        colour = int(rng.integers(len(COLOURS)))
        rgb = sample_colour(rng, colour)
        if has_contrast(rgb, background, contrast):
            shape, angle = int(rng.integers(len(SHAPES))), float(rng.uniform(-15, 15))
            things.append(Thing(shape, colour, float(x / width), float(y / height), float(size), angle, rgb))
    return Scene(width, height, tuple(things), background)
