"""Training pictures without shapes: noise, textures, and photograph-like landscapes synthesised from noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from xcomposer_ui.training.world import Rng

Field = NDArray[np.float64]


def _octaves(rng: Rng, width: int, height: int, first: int, roughness: float) -> Field:
    """Fractal noise, (height, width) in 0..1: octaves of bicubic noise, the coarsest with `first` cells a side."""
    total = np.zeros((height, width))
    cells, weight = first, 1.0
    while cells < max(width, height):
        coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32), mode="F")
        total += weight * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        cells, weight = cells * 2, weight * roughness
    total -= total.min()
    peak = total.max()
    return total / peak if peak > 0 else total


def _coloured(rng: Rng, fields: Field) -> Image.Image:
    """Map a field, (H, W) in 0..1, to a gradient of random colours."""
    stops = np.sort(rng.random(4))
    stops[0], stops[-1] = 0, 1
    colours = rng.uniform(0, 255, (4, 3))
    return Image.fromarray(
        np.stack([np.interp(fields, stops, colours[:, c]) for c in range(3)], axis=-1).astype(np.uint8)
    )


def clouds(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw fractal noise in a few colours."""
    return _coloured(rng, _octaves(rng, width, height, int(rng.integers(2, 7)), rng.uniform(0.4, 0.8)))


def static(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw strong noise: coloured or grey, fine or coarse."""
    grains = int(rng.integers(1, 7))
    size = (max(2, height // grains), max(2, width // grains))
    channels = rng.integers(0, 256, (*size, 3 if rng.random() < 0.7 else 1), dtype=np.uint8)
    picture = Image.fromarray(np.broadcast_to(channels, (*size, 3)).copy())
    return picture.resize((width, height), Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC)


def landscape(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw a sky and textured ridges in front of one another."""
    sky = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    top, low = rng.uniform(60, 255, 3), rng.uniform(120, 255, 3)
    pixels = top + sky * (low - top) + 60 * (_octaves(rng, width, height, 3, 0.6)[..., None] - 0.5)
    rows = np.arange(height)[:, None]
    horizon = rng.uniform(0.2, 0.5)
    for layer in range(int(rng.integers(2, 5))):
        ridge = _octaves(rng, width, 8, int(rng.integers(2, 6)), rng.uniform(0.4, 0.65))[0]
        level = (horizon + layer * rng.uniform(0.1, 0.25) + 0.35 * (ridge - 0.5)) * height
        tint = rng.uniform(10, 200, 3) * (0.5 + 0.5 * rng.random())
        texture = 0.55 + 0.9 * _octaves(rng, width, height, int(rng.integers(4, 16)), 0.75)
        pixels = np.where((rows > level[None])[..., None], tint * texture[..., None], pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def stripes(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw slightly warped stripes or checks over the whole picture."""
    y, x = np.mgrid[0:height, 0:width] / min(width, height)
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(3, 14)
    warp = rng.uniform(0, 0.3) * _octaves(rng, width, height, 3, 0.5)
    waves = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle) + warp))
    if rng.random() < 0.5:
        waves = waves * np.sin(2 * np.pi * frequency * (y * np.cos(angle) - x * np.sin(angle) + warp))
    return _coloured(rng, (waves > 0) * 1.0 if rng.random() < 0.5 else (waves + 1) / 2)


def scribble(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw many overlapping strokes."""
    picture = clouds(rng, width, height) if rng.random() < 0.6 else Image.new("RGB", (width, height), "white")
    pencil = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(15, 60))):
        ends = [(float(a), float(b)) for a, b in rng.random((int(rng.integers(2, 5)), 2)) * (width, height)]
        rgb = tuple(int(v) for v in rng.integers(0, 256, 3))
        pencil.line(ends, fill=rgb, width=int(rng.integers(1, max(2, min(width, height) // 16))))
    return picture


def blobs(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw overlapping blobs, blurred as if out of focus."""
    picture = clouds(rng, width, height)
    pencil = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(12, 45))):
        x, y = rng.random(2) * (width, height)
        a, b = rng.uniform(0.05, 0.35, 2) * min(width, height)
        pencil.ellipse((x - a, y - b, x + a, y + b), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.06) * min(width, height)))
    texture = 0.7 + 0.6 * _octaves(rng, width, height, 8, 0.8)
    return Image.fromarray(np.clip(np.asarray(picture) * texture[..., None], 0, 255).astype(np.uint8))


KINDS = (clouds, static, landscape, stripes, scribble, blobs)


def negative_image(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw a random one of KINDS, `width` by `height` pixels."""
    return KINDS[int(rng.choice(len(KINDS), p=(0.2, 0.2, 0.25, 0.1, 0.1, 0.15)))](rng, width, height)
