"""How training's pictures are drawn: polygons on a PIL canvas, some with a steady hand, some with a wobbly one.

The evaluation has drawing code of its own (`holdout`), so that nothing here can be learnt by heart.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xcomposer_ui.training.world import Rng, Scene, Thing

Points = NDArray[np.float64]


def outline(rng: Rng, shape: int) -> Points:
    """Corners (N, 2) of SHAPES[shape], upright, about 1 from its centre; proportions vary a little."""
    if shape == 0:
        angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        return np.stack((np.cos(angles), np.sin(angles)), axis=1)
    if shape == 1:
        h = rng.uniform(0.76, 0.88)
        return np.array([(-h, -h), (h, -h), (h, h), (-h, h)])
    if shape == 2:
        angles = np.deg2rad([-90, 30, 150])
        corners = rng.uniform(1.0, 1.12) * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        return corners * (rng.uniform(0.9, 1.05), 1) + (0, rng.uniform(0, 0.25))
    if shape == 3:
        radii = np.where(np.arange(10) % 2, rng.uniform(0.36, 0.52), rng.uniform(1.0, 1.12))
        angles = np.deg2rad(np.arange(10) * 36 - 90)
        return radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    if shape == 4:
        tall, wide = rng.uniform(1.0, 1.12), rng.uniform(0.6, 1.1)
        return np.array([(0, -tall), (wide, 0), (0, tall), (-wide, 0)])
    a = rng.uniform(0.2, 0.4)
    quarter = np.array([(a, -1), (a, -a), (1, -a)])
    turns = [np.array([[0, -1], [1, 0]])]  # a quarter turn, clockwise on a picture
    arms = [quarter]
    for _ in range(3):
        arms.append(arms[-1] @ turns[0].T)
    return np.concatenate(arms)


def wobbled(rng: Rng, corners: Points) -> Points:
    """`corners` (N, 2) as a hand would draw them: many points, off the line by a few hundredths."""
    steps = max(2, 48 // len(corners))
    following = np.roll(corners, -1, axis=0)
    along = np.arange(steps)[:, None] / steps
    points = (corners[:, None] + along * (following - corners)[:, None]).reshape(-1, 2)
    turn = np.linspace(0, 2 * np.pi, len(points), endpoint=False)
    amount = rng.uniform(0.01, 0.06)
    for axis in (0, 1):
        waves = sum(rng.normal() * np.sin(k * turn + rng.uniform(0, 6.3)) / np.sqrt(k) for k in (1, 2, 3, 5, 8))
        points[:, axis] += amount * waves
    return points


def placed(corners: Points, thing: Thing, width: float, height: float) -> Points:
    """Unit `corners` turned, scaled and moved to where `thing` is on a canvas of `width` by `height`."""
    turn = np.deg2rad(thing.angle)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return turned * (thing.across * min(width, height) / 2) + (thing.x * width, thing.y * height)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    """(768, 768, 3) of standard normal noise, drawn once: crops of it are cheaper than fresh noise."""
    return np.random.default_rng(7).standard_normal((768, 768, 3), dtype=np.float32)


def grain(rng: Rng, width: int, height: int) -> NDArray[np.float32]:
    """(height, width, 3) of noise with deviation 1; a bank's crop, repeated where the picture is larger."""
    bank = _noise_bank()
    top, left = rng.integers(0, 256, 2)
    rows, columns = (top + np.arange(height)) % 768, (left + np.arange(width)) % 768
    return bank[rows[:, None], columns[None]]


def graded(rng: Rng, scene: Scene, width: int, height: int) -> Image.Image:
    """A background of `width` by `height`, graded along a random direction."""
    first, second = (np.array(end, dtype=np.float64) for end in scene.backdrop)
    if scene.backdrop[0] == scene.backdrop[1]:
        return Image.new("RGB", (width, height), scene.backdrop[0])
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:8, 0:8] / 7 - 0.5
    t = x * np.cos(direction) + y * np.sin(direction)
    t = (t - t.min()) / (t.max() - t.min())
    small = (first + t[..., None] * (second - first)).round().astype(np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


def draw(rng: Rng, scene: Scene) -> tuple[Image.Image, list[Points]]:
    """The picture of `scene`, and each thing's outline in 0..1 of width and height (what the patch labels need)."""
    width, height = scene.width, scene.height
    finer = 2 if max(width, height) <= 150 and rng.random() < 0.6 else 1
    w, h = width * finer, height * finer
    canvas = graded(rng, scene, w, h)
    pencil = ImageDraw.Draw(canvas)
    by_hand, hollow = rng.random() < 0.3, rng.random() < 0.12
    outlines = []
    for thing in scene.things:
        corners = outline(rng, thing.shape)
        points = placed(wobbled(rng, corners) if by_hand else corners, thing, w, h)
        path = [(float(x), float(y)) for x, y in points]
        radius = thing.across * min(w, h) / 2
        if hollow:
            pencil.line([*path, path[0], path[1]], fill=thing.rgb, width=max(2, round(radius * rng.uniform(0.16, 0.3))))
        else:
            pencil.polygon(path, fill=thing.rgb)
            if rng.random() < 0.08:  # a darker rim, as drawing programs like to add
                rim = tuple(v * 2 // 3 for v in thing.rgb)
                pencil.line([*path, path[0]], fill=rim, width=max(1, round(radius * 0.08)))
        outlines.append(points / (w, h))
    if finer > 1:
        canvas = canvas.resize((width, height), Image.Resampling.BOX)
    return weathered(rng, canvas), outlines


def weathered(rng: Rng, picture: Image.Image) -> Image.Image:
    """`picture` with what happens to pictures on their way: grain, and the blocks of a JPEG."""
    if rng.random() < 0.4:
        pixels = np.asarray(picture, dtype=np.float32) + rng.uniform(1, 11) * grain(rng, *picture.size)
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.integers(50, 96)))
        picture = Image.open(file).convert("RGB")
    return picture


def size_sample(rng: Rng, longest: int = 300) -> tuple[int, int]:
    """Width and height in pixels: the shorter side from 64, the longer at most `longest`; many far from square."""
    short = int(np.exp(rng.uniform(np.log(64), np.log(220))))
    ratio = 1 + rng.exponential(0.42) if rng.random() < 0.9 else 1.0
    long = max(short, min(longest, round(short * min(ratio, 2.6))))
    return (short, long) if rng.random() < 0.4 else (long, short)
