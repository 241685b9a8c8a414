"""The world that the embedded model knows: shapes, colours and places, their names, and scenes made of them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator
Rgb = tuple[int, int, int]

LANGUAGES = ("en", "zh")


def pick(rng: Rng, options: Sequence[str]) -> str:
    """One of `options`, each as likely."""
    return options[int(rng.integers(len(options)))]


@dataclass(frozen=True)
class Word:
    """One word of the world in both languages."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        """The word in `language`: "en" or "zh"."""
        return self.zh if language == "zh" else self.en


SHAPES = (
    Word("circle", "圆形"),
    Word("square", "正方形"),
    Word("triangle", "三角形"),
    Word("star", "星形"),
    Word("diamond", "菱形"),
    Word("cross", "十字形"),
)
COLOURS = (
    Word("red", "红色"),
    Word("green", "绿色"),
    Word("blue", "蓝色"),
    Word("yellow", "黄色"),
    Word("purple", "紫色"),
    Word("orange", "橙色"),
    Word("black", "黑色"),
    Word("white", "白色"),
)
PLACES = (
    Word("top left", "左上"),
    Word("top", "上方"),
    Word("top right", "右上"),
    Word("left", "左侧"),
    Word("center", "中间"),
    Word("right", "右侧"),
    Word("bottom left", "左下"),
    Word("bottom", "下方"),
    Word("bottom right", "右下"),
)
"""The nine cells of a picture cut in thirds, in reading order."""

MOST_THINGS = 5

# Ranges of hue in degrees, saturation and value in 0..1, for each of COLOURS in turn. They hold what CSS calls by the
# same name, and the spread that people would still call so.
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

    shape, colour: indices into SHAPES and COLOURS. x, y: its centre, 0..1 of the picture's width and height.
    across: its extent, as a part of the picture's shorter side. angle: its turn in degrees, clockwise. rgb: 0..255.
    """

    shape: int
    colour: int
    x: float
    y: float
    across: float
    angle: float
    rgb: Rgb

    @property
    def place(self) -> int:
        """Index into PLACES of the third that holds the centre."""
        return place_of(self.x, self.y)


@dataclass(frozen=True)
class Scene:
    """What a picture of `width` by `height` pixels shows. `drawn` is False for a photograph or noise: then no things.

    backdrop: the colours between which the background is graded (twice the same for a plain one), 0..255.
    """

    width: int
    height: int
    things: tuple[Thing, ...] = ()
    backdrop: tuple[Rgb, Rgb] = ((255, 255, 255), (255, 255, 255))
    drawn: bool = True


def place_of(x: float, y: float) -> int:
    """Index into PLACES of the cell that holds the point (x, y), each 0..1."""
    return min(int(y * 3), 2) * 3 + min(int(x * 3), 2)


def tells_place(x: float, y: float, margin: float = 0.025) -> bool:
    """Whether (x, y), each 0..1, is at least `margin` away from the lines between the thirds."""
    return all(abs(value - line) >= margin for value in (x, y) for line in (1 / 3, 2 / 3))


def told_order(scene: Scene) -> list[int]:
    """The scene's things, as indices, in the order in which a description names them."""
    things = scene.things
    return sorted(range(len(things)), key=lambda n: (things[n].colour, things[n].shape, things[n].y, things[n].x))


def colour_sample(rng: Rng, colour: int) -> Rgb:
    """A colour, 0..255 each, that people call by the name COLOURS[colour]."""
    hue, saturation, value = (rng.uniform(*span) for span in _HSV[colour])
    red, green, blue = colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def stands_out(rgb: Rgb, backdrop: tuple[Rgb, Rgb], least: float) -> bool:
    """Whether `rgb` is at least `least` (Euclidean, of 0..441) from every colour of a graded background."""
    ends = np.array(backdrop, dtype=np.float64)
    steps = ends[0] + np.linspace(0, 1, 5)[:, None] * (ends[1] - ends[0])
    return bool(np.linalg.norm(steps - np.array(rgb), axis=1).min() >= least)


def backdrop_sample(rng: Rng) -> tuple[Rgb, Rgb]:
    """The two ends of a background: plain half of the time, else graded."""
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


def scene_sample(
    rng: Rng,
    width: int,
    height: int,
    *,
    count: int,
    across: tuple[float, float] = (0.11, 0.37),
    apart: float = 75.0,
) -> Scene:
    """A scene of up to `count` things that do not touch, all inside the picture.

    width, height: in pixels. across: smallest and largest extent, as a part of the shorter side.
    apart: least distance (Euclidean RGB) between a thing and the background.
    A crowded picture may end with fewer things than asked for.
    """
    backdrop = backdrop_sample(rng)
    things: list[Thing] = []
    largest = across[1] if count < 4 else across[0] + 0.8 * (across[1] - across[0])
    short = min(width, height)
    for _ in range(count * 12):
        if len(things) == count:
            break
        size = across[0] + (largest - across[0]) * rng.random() ** 1.6  # small ones are told apart last
        reach = 0.62 * size * short  # bounding radius in pixels: a turned square reaches past half its side
        if 2 * reach >= short:
            continue
        x, y = rng.uniform(reach, width - reach), rng.uniform(reach, height - reach)
        if any(np.hypot(x - t.x * width, y - t.y * height) < reach + 0.62 * t.across * short + 1.5 for t in things):
            continue
        colour = int(rng.integers(len(COLOURS)))
        rgb = colour_sample(rng, colour)
        if stands_out(rgb, backdrop, apart):
            shape, angle = int(rng.integers(len(SHAPES))), float(rng.uniform(-15, 15))
            things.append(Thing(shape, colour, float(x / width), float(y / height), float(size), angle, rgb))
    return Scene(width, height, tuple(things), backdrop)
