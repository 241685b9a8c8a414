"""What the throw-away heads are asked about each patch: what lies there, where it is, and how it stands to the rest.

All that a question can be about is somewhere in these labels, so that the language model finds it where it looks,
instead of having to work it out from far more examples than there is time for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcomposer_ui.training.pictures import NOTHING, Batch
from xcomposer_ui.training.world import COLOURS, MOST_THINGS, PLACES, SHAPES, Scene, told_order

EVERYWHERE = {
    "shape": len(SHAPES) + 2,
    "colour": len(COLOURS) + 2,
    "place": len(PLACES) + 2,
    "total": MOST_THINGS + 2,
}
"""What every patch is asked, with the number of classes; background and "no drawn world" are the last two."""

OF_THINGS = {
    "same_shape": MOST_THINGS,
    "same_colour": MOST_THINGS,
    "same_kind": MOST_THINGS,
    "rank": MOST_THINGS,
}
"""What patches of things are asked: how many more have its shape, its colour, both; which one it is when the things
are told in the order of a description."""


@dataclass(frozen=True)
class PatchLabels:
    """classes: for each name of EVERYWHERE and OF_THINGS, (N, patches) indices.

    there: (N, patches), whether the patch shows a thing. centre: (N, patches, 2), the thing's centre as 0..1.
    density: (N, patches), 0..1, each thing's centre shared out among the four patches around it: they add up to the
    number of things, and, unlike a mark on one patch, hardly change when the centre moves a little.
    """

    classes: dict[str, NDArray[np.int64]]
    there: NDArray[np.bool_]
    centre: NDArray[np.float32]
    density: NDArray[np.float32]


def density_of(scene: Scene, patches: int) -> NDArray[np.float32]:
    """(patches²,): see `PatchLabels.density`."""
    result = np.zeros((patches, patches), dtype=np.float32)
    for thing in scene.things:
        column, row = (min(max(v * patches - 0.5, 0.0), patches - 1.0) for v in (thing.x, thing.y))
        left, top = min(int(column), patches - 2), min(int(row), patches - 2)
        right, below = column - left, row - top
        result[top : top + 2, left : left + 2] += np.outer((1 - below, below), (1 - right, right))
    return result.ravel().clip(0, 1)


def _classes_of(scene: Scene) -> list[list[int]]:
    """For each thing, then for the background, the classes of EVERYWHERE and OF_THINGS in turn."""
    things, past = scene.things, 0 if scene.drawn else 1
    total = len(things) if scene.drawn else MOST_THINGS + 1
    shapes = Counter(t.shape for t in things)
    colours = Counter(t.colour for t in things)
    kinds = Counter((t.shape, t.colour) for t in things)
    rank = {n: at for at, n in enumerate(told_order(scene))}
    rows = [
        [
            *(t.shape, t.colour, t.place, total),
            *(shapes[t.shape] - 1, colours[t.colour] - 1, kinds[t.shape, t.colour] - 1, rank[n]),
        ]
        for n, t in enumerate(things)
    ]
    return [*rows, [len(SHAPES) + past, len(COLOURS) + past, len(PLACES) + past, total, 0, 0, 0, 0]]


def patch_labels(batch: Batch, patches: int) -> PatchLabels:
    """The labels of `batch`, whose pictures are `patches` patches on a side."""
    names = [*EVERYWHERE, *OF_THINGS]
    table = np.zeros((len(batch.scenes), MOST_THINGS + 1, len(names)), dtype=np.int64)
    centres = np.full((len(batch.scenes), MOST_THINGS + 1, 2), 0.5, dtype=np.float32)
    for n, scene in enumerate(batch.scenes):
        rows = _classes_of(scene)
        table[n, : len(rows) - 1], table[n, NOTHING] = rows[:-1] or table[n, :0], rows[-1]
        centres[n, : len(scene.things)] = [(t.x, t.y) for t in scene.things] or centres[n, :0]
    picture, thing = np.arange(len(batch.scenes))[:, None], batch.thing.astype(np.int64)
    classes = {name: table[picture, thing, k] for k, name in enumerate(names)}
    density = np.stack([density_of(scene, patches) for scene in batch.scenes])
    return PatchLabels(classes, batch.thing != NOTHING, centres[picture, thing], density)
