"""Batches of training pictures, drawn in worker processes and determined by the seed.

A batch holds plain arrays, which are cheap to send from one process to another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xcomposer_ui.training.drawing import Points, degraded, draw, sample_size
from xcomposer_ui.training.negative_images import negative_image
from xcomposer_ui.training.sketches import sample_sketch
from xcomposer_ui.training.world import MAX_THINGS, Rng, Scene, sample_scene

BACKGROUND = -1
"""Patch label of the background."""

CELLS = 4
"""Cells along one side of a patch, the resolution of `Batch.coverage`."""


@dataclass(frozen=True)
class Batch:
    """Pictures with their labels.

    pixels: (N, side, side, 3) uint8. scenes: the contents of each picture.
    thing: (N, patches) int8, the index of the thing that each patch shows, or BACKGROUND.
    coverage: (N, patches, CELLS, CELLS) uint8, the covered part of each cell of each patch, 0..255.
    """

    pixels: NDArray[np.uint8]
    scenes: tuple[Scene, ...]
    thing: NDArray[np.int8]
    coverage: NDArray[np.uint8]


SKETCHES = 0.35
"""Share of the pictures that are sketches."""

LARGE = 0.12
"""Share of the other pictures with one to three large things."""


def sample_any_scene(rng: Rng) -> Scene:
    """Sample a scene of any size and number of things, but for sketches; one in sixteen is not drawn."""
    width, height = sample_size(rng)
    if rng.random() < 1 / 16:
        return Scene(width, height, drawn=False)
    if rng.random() < LARGE:
        return sample_scene(rng, width, height, count=int(rng.integers(1, 4)), extent=(0.32, 0.79))
    count = int(rng.choice(MAX_THINGS + 1, p=(0.06, 0.16, 0.2, 0.2, 0.19, 0.19)))
    return sample_scene(rng, width, height, count=count)


def sample_picture(rng: Rng) -> tuple[Image.Image, Scene, list[Points]]:
    """Sample one training picture, with its scene and the outlines of its things."""
    if rng.random() < SKETCHES:
        return sample_sketch(rng)
    scene = sample_any_scene(rng)
    if not scene.drawn:
        picture = negative_image(rng, scene.width, scene.height)
        return (degraded(rng, picture) if rng.random() < 0.5 else picture), scene, []
    picture, outlines = draw(rng, scene)
    return picture, scene, outlines


def patch_things(outlines: list[Points], patches: int) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Label each patch with the thing that it shows and with its coverage, as in `Batch`.

    A patch shows a thing if that covers an eighth of the patch, or has a sixth of its own area there.

    Args:
        outlines: polygons of the things, in 0..1 of width and height.
        patches: number of patches along one side.

    Returns:
        (patches²,) int8 and (patches², CELLS, CELLS) uint8.
    """
    fine = 2 * CELLS
    side = patches * fine
    areas = np.zeros((len(outlines) + 1, patches, patches))
    covered = np.zeros((side, side), dtype=np.uint8)
    for n, points in enumerate(outlines):
        canvas = Image.new("L", (side, side), 0)
        ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points * side], fill=1)
        mask = np.asarray(canvas)
        areas[n] = mask.reshape(patches, fine, patches, fine).sum((1, 3))
        covered |= mask
    shown = (areas >= fine * fine / 8) | (areas >= areas.sum((1, 2), keepdims=True).clip(1) / 6)
    best = np.where(shown, areas, 0)
    cells = covered.reshape(patches, CELLS, 2, patches, CELLS, 2).mean((2, 5)).transpose(0, 2, 1, 3)
    return (
        np.where(best.max(0) > 0, best.argmax(0), BACKGROUND).astype(np.int8).ravel(),
        (cells * 255).astype(np.uint8).reshape(patches * patches, CELLS, CELLS),
    )


def sample_batch(seed: tuple[int, ...], count: int, side: int, patches: int) -> Batch:
    """Draw `count` pictures of `side` pixels with their labels; the same seed gives the same batch."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, side, side, 3), dtype=np.uint8)
    things = np.empty((count, patches * patches), dtype=np.int8)
    coverage = np.empty((count, patches * patches, CELLS, CELLS), dtype=np.uint8)
    scenes = []
    for n in range(count):
        picture, scene, outlines = sample_picture(rng)
        pixels[n] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        things[n], coverage[n] = patch_things(outlines, patches)
        scenes.append(scene)
    return Batch(pixels, tuple(scenes), things, coverage)


def mirrored(batch: Batch) -> Batch:
    """Mirror `batch` left to right. All of SHAPES are symmetric, so they keep their names."""
    count, side = batch.thing.shape[0], int(batch.thing.shape[1] ** 0.5)
    scenes = tuple(
        replace(s, things=tuple(replace(t, x=1 - t.x, angle=-t.angle) for t in s.things)) for s in batch.scenes
    )
    things = batch.thing.reshape(count, side, side)[:, :, ::-1].reshape(count, -1)
    coverage = batch.coverage.reshape(count, side, side, CELLS, CELLS)[:, :, ::-1, :, ::-1].reshape(
        batch.coverage.shape
    )
    pixels = np.ascontiguousarray(batch.pixels[:, :, ::-1])
    return Batch(pixels, scenes, np.ascontiguousarray(things), np.ascontiguousarray(coverage))


def batches(seed: int, count: int, side: int, patches: int, start: int = 0, workers: int = 1) -> Iterator[Batch]:
    """Yield batches `start`, `start + 1`, … without end, drawn ahead of use; the order is independent of `workers`."""
    with ProcessPoolExecutor(workers) as pool:
        pending: deque[Future[Batch]] = deque()
        number = start
        try:
            while True:
                while len(pending) < 8 + 2 * workers:
                    pending.append(pool.submit(sample_batch, (seed, number), count, side, patches))
                    number += 1
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
