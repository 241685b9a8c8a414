"""Batches of training pictures, drawn in a process of their own and the same for the same seed.

A batch is a `Batch` of arrays, so that it crosses the process boundary cheaply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xcomposer_ui.training.drawing import Points, draw, size_sample, weathered
from xcomposer_ui.training.nonsense import nonsense
from xcomposer_ui.training.world import MOST_THINGS, Rng, Scene, scene_sample

NOTHING = -1
"""What a patch label says where the patch shows background."""

CELLS = 4
"""Cells along one side of a patch, for what covers it."""


@dataclass(frozen=True)
class Batch:
    """pixels: (N, side, side, 3) uint8. scenes: what each shows.

    thing: (N, patches) int8, the index of the thing under each patch, NOTHING for background.
    cover: (N, patches, CELLS, CELLS) uint8, how much of each cell of each patch a thing covers, 0..255.
    """

    pixels: NDArray[np.uint8]
    scenes: tuple[Scene, ...]
    thing: NDArray[np.int8]
    cover: NDArray[np.uint8]


def scene_any(rng: Rng) -> Scene:
    """A scene of any size and number of things; one in sixteen is no drawn world at all."""
    width, height = size_sample(rng)
    if rng.random() < 1 / 16:
        return Scene(width, height, drawn=False)
    count = int(rng.choice(MOST_THINGS + 1, p=(0.06, 0.16, 0.2, 0.2, 0.19, 0.19)))
    return scene_sample(rng, width, height, count=count)


def picture_sample(rng: Rng) -> tuple[Image.Image, Scene, list[Points]]:
    """One training picture: one in sixteen shows no drawn world at all."""
    scene = scene_any(rng)
    if not scene.drawn:
        picture = nonsense(rng, scene.width, scene.height)
        return (weathered(rng, picture) if rng.random() < 0.5 else picture), scene, []
    picture, outlines = draw(rng, scene)
    return picture, scene, outlines


def patch_things(outlines: list[Points], patches: int) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """(patches²,) and (patches², CELLS, CELLS): which thing each patch mostly shows, and what of it is covered.

    A patch shows a thing that covers an eighth of it, or that has a sixth of its own area there.
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
        np.where(best.max(0) > 0, best.argmax(0), NOTHING).astype(np.int8).ravel(),
        (cells * 255).astype(np.uint8).reshape(patches * patches, CELLS, CELLS),
    )


def batch_sample(seed: tuple[int, ...], count: int, side: int, patches: int) -> Batch:
    """`count` pictures of `side` pixels with their labels, from `seed` alone."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, side, side, 3), dtype=np.uint8)
    things = np.empty((count, patches * patches), dtype=np.int8)
    cover = np.empty((count, patches * patches, CELLS, CELLS), dtype=np.uint8)
    scenes = []
    for n in range(count):
        picture, scene, outlines = picture_sample(rng)
        pixels[n] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        things[n], cover[n] = patch_things(outlines, patches)
        scenes.append(scene)
    return Batch(pixels, tuple(scenes), things, cover)


def mirrored(batch: Batch) -> Batch:
    """`batch` with left and right swapped; every shape of the world is still what it was."""
    count, side = batch.thing.shape[0], int(batch.thing.shape[1] ** 0.5)
    scenes = tuple(
        replace(s, things=tuple(replace(t, x=1 - t.x, angle=-t.angle) for t in s.things)) for s in batch.scenes
    )
    things = batch.thing.reshape(count, side, side)[:, :, ::-1].reshape(count, -1)
    cover = batch.cover.reshape(count, side, side, CELLS, CELLS)[:, :, ::-1, :, ::-1].reshape(batch.cover.shape)
    pixels = np.ascontiguousarray(batch.pixels[:, :, ::-1])
    return Batch(pixels, scenes, np.ascontiguousarray(things), np.ascontiguousarray(cover))


def batches(seed: int, count: int, side: int, patches: int, start: int = 0, workers: int = 1) -> Iterator[Batch]:
    """Batch `start`, `start + 1`, … without end, drawn ahead in `workers` processes, in order whatever their number."""
    with ProcessPoolExecutor(workers) as pool:
        ahead: deque[Future[Batch]] = deque()
        number = start
        try:
            while True:
                while len(ahead) < 8 + 2 * workers:
                    ahead.append(pool.submit(batch_sample, (seed, number), count, side, patches))
                    number += 1
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
