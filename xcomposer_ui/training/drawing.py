"""Drawing of the training pictures: polygons on a PIL canvas, some exact, some with hand-drawn irregularities.

The evaluation draws its pictures with independent code (`holdout`), so that artefacts of this code are not rewarded.
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
    """Corners (N, 2) of SHAPES[shape], upright, about 1 from its centre, with slightly random proportions."""
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
    rotation = np.array([[0, -1], [1, 0]])  # by 90 degrees, clockwise on a picture
    arms = [quarter]
    for _ in range(3):
        arms.append(arms[-1] @ rotation.T)
    return np.concatenate(arms)


def hand_drawn(rng: Rng, corners: Points) -> Points:
    """Resample the polygon `corners` (N, 2) to many points that deviate from its lines by a few hundredths."""
    steps = max(2, 48 // len(corners))
    following = np.roll(corners, -1, axis=0)
    along = np.arange(steps)[:, None] / steps
    points = (corners[:, None] + along * (following - corners)[:, None]).reshape(-1, 2)
    phase = np.linspace(0, 2 * np.pi, len(points), endpoint=False)
    amount = rng.uniform(0.01, 0.06)
    for axis in (0, 1):
        waves = sum(rng.normal() * np.sin(k * phase + rng.uniform(0, 6.3)) / np.sqrt(k) for k in (1, 2, 3, 5, 8))
        points[:, axis] += amount * waves
    return points


def placed(corners: Points, thing: Thing, width: float, height: float) -> Points:
    """Rotate, scale and move unit `corners` to the position of `thing` on a canvas of `width` by `height`."""
    angle = np.deg2rad(thing.angle)
    rotated = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return rotated * (thing.extent * min(width, height) / 2) + (thing.x * width, thing.y * height)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    """Standard normal noise, (768, 768, 3), sampled once because crops of it are cheaper than new noise."""
    return np.random.default_rng(7).standard_normal((768, 768, 3), dtype=np.float32)


def noise(rng: Rng, width: int, height: int) -> NDArray[np.float32]:
    """Noise of standard deviation 1, (height, width, 3): a crop of the bank, tiled where the picture is larger."""
    bank = _noise_bank()
    top, left = rng.integers(0, 256, 2)
    rows, columns = (top + np.arange(height)) % 768, (left + np.arange(width)) % 768
    return bank[rows[:, None], columns[None]]


def gradient(rng: Rng, scene: Scene, width: int, height: int) -> Image.Image:
    """Draw the background of `scene`, `width` by `height`, as a gradient in a random direction."""
    first, second = (np.array(end, dtype=np.float64) for end in scene.background)
    if scene.background[0] == scene.background[1]:
        return Image.new("RGB", (width, height), scene.background[0])
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:8, 0:8] / 7 - 0.5
    t = x * np.cos(direction) + y * np.sin(direction)
    t = (t - t.min()) / (t.max() - t.min())
    small = (first + t[..., None] * (second - first)).round().astype(np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


def draw(rng: Rng, scene: Scene) -> tuple[Image.Image, list[Points]]:
    """Draw `scene`.

    Returns:
        The picture, and the outline of each thing in 0..1 of width and height, for the patch labels.
    """
    width, height = scene.width, scene.height
    supersampling = 2 if max(width, height) <= 150 and rng.random() < 0.6 else 1
    w, h = width * supersampling, height * supersampling
    canvas = gradient(rng, scene, w, h)
    pencil = ImageDraw.Draw(canvas)
    by_hand, hollow = rng.random() < 0.3, rng.random() < 0.12
    outlines = []
    for thing in scene.things:
        corners = outline(rng, thing.shape)
        points = placed(hand_drawn(rng, corners) if by_hand else corners, thing, w, h)
        path = [(float(x), float(y)) for x, y in points]
        radius = thing.extent * min(w, h) / 2
        if hollow:
            pencil.line([*path, path[0], path[1]], fill=thing.rgb, width=max(2, round(radius * rng.uniform(0.16, 0.3))))
        else:
            pencil.polygon(path, fill=thing.rgb)
            if rng.random() < 0.08:  # a darker rim, as drawing programs add
                rim = tuple(v * 2 // 3 for v in thing.rgb)
                pencil.line([*path, path[0]], fill=rim, width=max(1, round(radius * 0.08)))
        outlines.append(points / (w, h))
    if supersampling > 1:
        canvas = canvas.resize((width, height), Image.Resampling.BOX)
    return degraded(rng, canvas), outlines


def degraded(rng: Rng, picture: Image.Image) -> Image.Image:
    """Add noise and JPEG artefacts, each with its own probability."""
    if rng.random() < 0.4:
        pixels = np.asarray(picture, dtype=np.float32) + rng.uniform(1, 11) * noise(rng, *picture.size)
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.integers(50, 96)))
        picture = Image.open(file).convert("RGB")
    return picture


def sample_size(rng: Rng, longest: int = 300) -> tuple[int, int]:
    """Sample width and height in pixels: the shorter side from 64, the longer up to `longest`, many far from square."""
    short = int(np.exp(rng.uniform(np.log(64), np.log(220))))
    ratio = 1 + rng.exponential(0.42) if rng.random() < 0.9 else 1.0
    long = max(short, min(longest, round(short * min(ratio, 2.6))))
    return (short, long) if rng.random() < 0.4 else (long, short)
