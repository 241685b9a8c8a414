"""Sketches of training, and the evaluation's brush drawings."""

import numpy as np
import pytest

from xcomposer_ui.training.drawing import Points
from xcomposer_ui.training.held_out_drawings import LARGE, SIDE, STYLES, brush_drawing, brush_drawings
from xcomposer_ui.training.sketches import STYLES as SKETCHED_STYLES
from xcomposer_ui.training.sketches import sample_sketch, sketched_strokes
from xcomposer_ui.training.world import SHAPES, Scene, has_clear_place


def painted(picture, scene: Scene):
    """Where `picture` differs from its paper, (H, W) bool."""
    return np.abs(np.asarray(picture, dtype=int) - scene.background[0]).max(-1) > 60


def extents(points: Points):
    return points.min(0), points.max(0)


def sketches(count: int):
    rng = np.random.default_rng(4)
    return [sample_sketch(rng) for _ in range(count)]


def test_sketches_have_up_to_five_shapes_of_all_sizes() -> None:
    things = [scene.things for _, scene, _ in sketches(150)]
    assert {len(some) for some in things} == {0, 1, 2, 3, 4, 5}
    sizes = [thing.extent for some in things for thing in some]
    assert min(sizes) < 0.2 and max(sizes) > 0.7


def test_the_shapes_of_a_sketch_are_inside_and_apart() -> None:
    for _, scene, outlines in sketches(60):
        boxes = [extents(points) for points in outlines]
        for n, (low, high) in enumerate(boxes):
            assert (low >= 0).all() and (high <= 1).all()
            assert all((low > other_high).any() or (high < other_low).any() for other_low, other_high in boxes[:n])
        assert scene.by_brush


def test_a_sketch_has_paint_along_each_outline_and_in_its_shapes_only() -> None:
    for picture, scene, outlines in sketches(40):
        paint = painted(picture, scene)
        outside = np.ones_like(paint)
        for thing, points in zip(scene.things, outlines, strict=True):
            low, high = (value * picture.size for value in extents(points))
            margin = 6 + 0.2 * thing.extent * min(picture.size)
            left, top = np.maximum(low - margin, 0).astype(int)
            right, bottom = np.minimum(high + margin, picture.size).astype(int)
            assert paint[top:bottom, left:right].any()
            outside[top:bottom, left:right] = False
        assert not paint[outside].any()


@pytest.mark.parametrize("style", SKETCHED_STYLES)
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_strokes_follow_the_outline(style, shape) -> None:
    for seed in range(5):
        closed, strokes = sketched_strokes(np.random.default_rng(seed), shape, style, 0.1)
        assert np.abs(closed).max() == pytest.approx(1, abs=0.01)
        drawn = np.concatenate(strokes)
        assert 0.7 < np.abs(drawn).max() < 1.5


@pytest.mark.parametrize("style", STYLES)
def test_a_brush_drawing_shows_its_shapes_where_it_says(style) -> None:
    for seed in range(8):
        drawing = brush_drawing(np.random.default_rng(seed), style)
        paint = painted(drawing.picture, drawing.scene)
        assert 1 <= len(drawing.scene.things) <= 3 and drawing.picture.size == (SIDE, SIDE)
        assert drawing.large == (max(thing.extent for thing in drawing.scene.things) * SIDE >= LARGE)
        for thing in drawing.scene.things:
            x, y, reach = thing.x * SIDE, thing.y * SIDE, thing.extent * SIDE / 2
            own = paint[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1]
            columns, rows = np.flatnonzero(own.any(0)), np.flatnonzero(own.any(1))
            assert max(np.ptp(columns), np.ptp(rows)) > 1.5 * reach
            assert has_clear_place(thing.x, thing.y, 0.04)


def test_brush_drawings_are_counted_by_style_and_size() -> None:
    ((pictures, items),) = brush_drawings(1, 20)
    assert len(pictures) == 20
    assert {item.row.rsplit(",")[0] for item in items} <= set(STYLES)
    assert {item.row.rsplit(" ")[-1] for item in items} == {"small", "large"}
    assert {item.turn.kind for item in items} >= {"count", "colour", "shape", "place", "description"}


def test_a_seed_gives_the_same_drawing() -> None:
    one, same = (brush_drawing(np.random.default_rng(3), "outline") for _ in range(2))
    assert one.scene == same.scene and one.picture.tobytes() == same.picture.tobytes()
