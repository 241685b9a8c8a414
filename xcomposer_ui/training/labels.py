"""Patch labels for the auxiliary heads: each patch's thing, its position, and its relations to the other things.

The labels cover every fact that a question can ask for. Supervising them directly needs far fewer examples than
learning them from the answers alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcomposer_ui.training.pictures import BACKGROUND, Batch
from xcomposer_ui.training.world import COLOURS, MAX_THINGS, PLACES, SHAPES, Scene, description_order

PATCH_CLASSES = {
    "shape": len(SHAPES) + 2,
    "colour": len(COLOURS) + 2,
    "place": len(PLACES) + 2,
    "total": MAX_THINGS + 2,
}
"""Number of classes of each label that every patch has.

The last class is "not drawn"; before it, shape, colour and place have one for the background.
"""

THING_CLASSES = {
    "same_shape": MAX_THINGS,
    "same_colour": MAX_THINGS,
    "same_kind": MAX_THINGS,
    "rank": MAX_THINGS,
}
"""Number of classes of each label that only the patches of things have.

The number of other things with the same shape, colour, and both; and the thing's rank in `description_order`.
"""


@dataclass(frozen=True)
class PatchLabels:
    """Labels of a batch.

    classes: for each name in PATCH_CLASSES and THING_CLASSES, (N, patches) class indices.
    foreground: (N, patches), whether the patch shows a thing. centre: (N, patches, 2), that thing's centre, 0..1.
    density: (N, patches), 0..1, where each thing adds 1, divided bilinearly among the four patches around its centre.
    The sum is the number of things, and it changes continuously with their positions.
    """

    classes: dict[str, NDArray[np.int64]]
    foreground: NDArray[np.bool_]
    centre: NDArray[np.float32]
    density: NDArray[np.float32]


def density_of(scene: Scene, patches: int) -> NDArray[np.float32]:
    """`PatchLabels.density` of one scene, (patches²,)."""
    result = np.zeros((patches, patches), dtype=np.float32)
    for thing in scene.things:
        column, row = (min(max(v * patches - 0.5, 0.0), patches - 1.0) for v in (thing.x, thing.y))
        left, top = min(int(column), patches - 2), min(int(row), patches - 2)
        right, below = column - left, row - top
        result[top : top + 2, left : left + 2] += np.outer((1 - below, below), (1 - right, right))
    return result.ravel().clip(0, 1)


def _classes_of(scene: Scene) -> list[list[int]]:
    """Class indices, in the order of PATCH_CLASSES and THING_CLASSES, of each thing and then of the background."""
    things, not_drawn = scene.things, int(not scene.drawn)
    total = len(things) if scene.drawn else MAX_THINGS + 1
    shapes = Counter(t.shape for t in things)
    colours = Counter(t.colour for t in things)
    kinds = Counter((t.shape, t.colour) for t in things)
    rank = {n: at for at, n in enumerate(description_order(scene))}
    rows = [
        [
            *(t.shape, t.colour, t.place, total),
            *(shapes[t.shape] - 1, colours[t.colour] - 1, kinds[t.shape, t.colour] - 1, rank[n]),
        ]
        for n, t in enumerate(things)
    ]
    return [*rows, [len(SHAPES) + not_drawn, len(COLOURS) + not_drawn, len(PLACES) + not_drawn, total, 0, 0, 0, 0]]


def patch_labels(batch: Batch, patches: int) -> PatchLabels:
    """Labels of `batch`, whose pictures have `patches` patches along one side."""
    names = [*PATCH_CLASSES, *THING_CLASSES]
    table = np.zeros((len(batch.scenes), MAX_THINGS + 1, len(names)), dtype=np.int64)
    centres = np.full((len(batch.scenes), MAX_THINGS + 1, 2), 0.5, dtype=np.float32)
    for n, scene in enumerate(batch.scenes):
        rows = _classes_of(scene)
        table[n, : len(rows) - 1], table[n, BACKGROUND] = rows[:-1] or table[n, :0], rows[-1]
        centres[n, : len(scene.things)] = [(t.x, t.y) for t in scene.things] or centres[n, :0]
    picture, thing = np.arange(len(batch.scenes))[:, None], batch.thing.astype(np.int64)
    classes = {name: table[picture, thing, k] for k, name in enumerate(names)}
    density = np.stack([density_of(scene, patches) for scene in batch.scenes])
    return PatchLabels(classes, batch.thing != BACKGROUND, centres[picture, thing], density)
