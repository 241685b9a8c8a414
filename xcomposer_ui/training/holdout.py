"""Drawing of the evaluation's pictures, by signed distances on a pixel grid and independent of `drawing`.

Edges are antialiased over one pixel, sizes differ from training, and half of the pictures are compressed as JPEG. No
centre is close to the border between two places, where the right answer would be ambiguous.
"""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xcomposer_ui.training.world import COLOURS, SHAPES, Rgb, Rng, Scene, Thing, has_clear_place

Grid = NDArray[np.float64]

_NAMED: tuple[tuple[Rgb, ...], ...] = (
    ((255, 0, 0), (220, 20, 60), (200, 30, 30), (230, 57, 70)),
    ((0, 128, 0), (0, 200, 0), (34, 139, 34), (46, 160, 67)),
    ((0, 0, 255), (30, 90, 220), (65, 105, 225), (20, 60, 160)),
    ((255, 255, 0), (250, 220, 40), (255, 215, 0), (240, 230, 60)),
    ((128, 0, 128), (148, 0, 211), (130, 60, 180), (106, 40, 150)),
    ((255, 165, 0), (255, 140, 0), (245, 130, 30), (250, 150, 40)),
    ((0, 0, 0), (20, 20, 20), (30, 28, 32)),
    ((255, 255, 255), (245, 245, 245), (250, 248, 244)),
)
"""RGB values for each of COLOURS, before a random shift of up to ±10 per channel."""


def _polygon(x: Grid, y: Grid, corners: list[tuple[float, float]]) -> Grid:
    """Signed distance to a polygon, negative inside, where a ray crosses the outline an odd number of times."""
    distance, inside = np.full(x.shape, np.inf), np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(x - ax - along * ex, y - ay - along * ey))
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < ex * (y - ay) / (ey if ey else 1.0) + ax)
    return np.where(inside, -distance, distance)


def distance_to(shape: int, x: Grid, y: Grid) -> Grid:
    """Signed distance of the points (x, y) to SHAPES[shape] with half-extent 1 at the origin; y points down."""
    if shape == 0:
        return np.hypot(x, y) - 1
    if shape == 1:
        return np.maximum(np.abs(x), np.abs(y)) - 0.86
    if shape == 2:
        return _polygon(x, y, [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)])
    if shape == 3:
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2, 0.42, 1.05)
        return _polygon(
            x, y, [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]
        )
    if shape == 4:
        return (np.abs(x) / 0.8 + np.abs(y) - 1) * 0.62
    bar, other = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(bar - 1, other - 0.3), np.maximum(bar - 0.3, other - 1))


def sample_held_out_colour(rng: Rng, colour: int) -> Rgb:
    """Sample an RGB value for COLOURS[colour]."""
    named = _NAMED[colour]
    near = np.array(named[int(rng.integers(len(named)))]) + rng.integers(-10, 11, 3)
    red, green, blue = (int(v) for v in np.clip(near, 0, 255))
    return red, green, blue


def sample_held_out_scene(rng: Rng) -> Scene:
    """Sample a scene of 64 to 640 pixels with none to five things, each 12 to 35 % of the shorter side."""
    short = int(rng.integers(64, 420))
    width, height = short, min(640, int(short * rng.uniform(1, 1.8)))
    if rng.random() < 0.6:
        width, height = height, width
    first = np.array(rng.choice([rng.integers(0, 256, 3), rng.integers(200, 256, 3), rng.integers(0, 50, 3)], axis=0))
    second = np.clip(first + (rng.integers(-70, 71, 3) if rng.random() < 0.4 else 0), 0, 255)
    background = tuple(tuple(int(v) for v in end) for end in (first, second))
    scene = Scene(width, height, (), background)  # type: ignore[arg-type]
    for _ in range(int(rng.integers(0, 6))):
        for _ in range(40):
            thing = _sample_thing(rng, scene)
            if thing is not None:
                scene = replace(scene, things=(*scene.things, thing))
                break
    return scene


def _sample_thing(rng: Rng, scene: Scene) -> Thing | None:
    """Sample a thing; None where it overlaps those of `scene` or has too little contrast to the background."""
    short = min(scene.width, scene.height)
    extent = rng.uniform(0.12, 0.35 if len(scene.things) < 3 else 0.27)  # smaller ones, so that five fit
    reach = extent * short * 0.62
    x, y = rng.uniform(reach, scene.width - reach), rng.uniform(reach, scene.height - reach)
    for other in scene.things:
        between = np.hypot(x - other.x * scene.width, y - other.y * scene.height)
        if between < reach + other.extent * short * 0.62 + 2:
            return None
    if not has_clear_place(x / scene.width, y / scene.height):
        return None
    colour = int(rng.integers(len(COLOURS)))
    rgb = sample_held_out_colour(rng, colour)
    if min(np.linalg.norm(np.array(end) - np.array(rgb)) for end in scene.background) < 100:
        return None
    shape, angle = int(rng.integers(len(SHAPES))), float(rng.uniform(-15, 15))
    return Thing(shape, colour, float(x / scene.width), float(y / scene.height), float(extent), angle, rgb)


def draw_held_out(rng: Rng, scene: Scene, *, degraded: bool = True) -> Image.Image:
    """Draw `scene`; with `degraded`, possibly with noise and JPEG artefacts."""
    y, x = np.mgrid[0 : scene.height, 0 : scene.width] + 0.5
    down = rng.random() < 0.5
    t = ((y / scene.height) if down else (x / scene.width))[..., None]
    first, second = (np.array(end, dtype=np.float64) for end in scene.background)
    pixels = first + t * (second - first)
    for thing in scene.things:
        radius = thing.extent * min(scene.width, scene.height) / 2
        angle = np.deg2rad(thing.angle)
        dx, dy = (x - thing.x * scene.width) / radius, (y - thing.y * scene.height) / radius
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        cover = np.clip(0.5 - distance_to(thing.shape, u, v) * radius, 0, 1)[..., None]
        pixels = pixels * (1 - cover) + np.array(thing.rgb) * cover
    if degraded and rng.random() < 0.3:
        pixels = pixels + rng.normal(0, rng.uniform(1, 6), pixels.shape)
    picture = Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8))
    if degraded and rng.random() < 0.5:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.integers(70, 96)))
        picture = Image.open(file).convert("RGB")
    return picture


def held_out_photograph(rng: Rng) -> Image.Image:
    """Draw a picture without shapes (noise, clouds or a landscape) by spectral synthesis."""
    width, height = int(rng.integers(96, 512)), int(rng.integers(96, 512))
    if rng.random() < 0.3:
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    fields = np.stack([spectral_noise(rng, width, height, rng.uniform(1.0, 1.8)) for _ in range(3)], axis=-1)
    mean = fields.mean(-1, keepdims=True)
    pixels = rng.uniform(60, 190, 3) + rng.uniform(40, 80) * (mean + rng.uniform(0, 0.6) * fields)
    if rng.random() < 0.6:
        ridge = height * (rng.uniform(0.35, 0.6) + 0.12 * spectral_noise(rng, width, 2, 1.5)[0])
        ground = np.arange(height)[:, None] > ridge[None]
        soil = rng.uniform(20, 140, 3) + 45 * spectral_noise(rng, width, height, 0.9)[..., None]
        pixels = np.where(ground[..., None], soil, pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def spectral_noise(rng: Rng, width: int, height: int, decay: float) -> Grid:
    """Noise, (height, width), with amplitude ∝ frequency^-decay, mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    field = np.fft.irfft2(spectrum / frequency**decay, s=(height, width))
    return np.asarray((field - field.mean()) / max(field.std(), 1e-9))
