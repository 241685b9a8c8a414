import numpy as np
import pytest

from xcomposer_ui.training.drawing import draw, sample_size
from xcomposer_ui.training.holdout import draw_held_out, held_out_photograph, sample_held_out_scene
from xcomposer_ui.training.labels import density_of, patch_labels
from xcomposer_ui.training.negative_images import KINDS
from xcomposer_ui.training.pictures import BACKGROUND, mirrored, sample_any_scene, sample_batch
from xcomposer_ui.training.world import (
    COLOURS,
    PLACES,
    SHAPES,
    description_order,
    has_contrast,
    place_of,
    sample_colour,
    sample_scene,
)


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [(0.1, 0.1, "top left"), (0.5, 0.2, "top"), (0.5, 0.5, "center"), (0.9, 0.5, "right"), (1.0, 1.0, "bottom right")],
)
def test_places_are_thirds_of_the_picture(x, y, place):
    assert PLACES[place_of(x, y)].en == place


def test_words_are_distinct_in_both_languages():
    for words in (SHAPES, COLOURS, PLACES):
        assert len({w.en for w in words}) == len({w.zh for w in words}) == len(words)


@pytest.mark.parametrize("sample", [sample_any_scene, sample_held_out_scene])
def test_things_are_inside_do_not_touch_and_have_contrast(sample):
    rng = np.random.default_rng(3)
    for _ in range(100):
        scene = sample(rng)
        short = min(scene.width, scene.height)
        for n, thing in enumerate(scene.things):
            radius = thing.extent * short / 2
            assert radius <= thing.x * scene.width <= scene.width - radius
            assert radius <= thing.y * scene.height <= scene.height - radius
            assert has_contrast(thing.rgb, scene.background, 40)
            for other in scene.things[:n]:
                distance = np.hypot((thing.x - other.x) * scene.width, (thing.y - other.y) * scene.height)
                assert distance > radius + other.extent * short / 2


def test_a_sampled_colour_is_recognisable():
    rng = np.random.default_rng(0)
    reds = [sample_colour(rng, 0) for _ in range(100)]
    assert all(r > 2 * max(g, b) for r, g, b in reds)
    assert all(max(sample_colour(rng, 6)) < 50 and min(sample_colour(rng, 7)) > 200 for _ in range(100))


def test_a_held_out_thing_is_drawn_at_its_position():
    scene = sample_scene(np.random.default_rng(5), 200, 140, count=3, extent=(0.25, 0.35), contrast=120)
    assert scene.things
    for picture in (
        draw_held_out(np.random.default_rng(0), scene, degraded=False),
        draw_held_out(np.random.default_rng(1), scene, degraded=False),
    ):
        for thing in scene.things:
            centre = picture.getpixel((int(thing.x * 200), int(thing.y * 140)))
            assert np.abs(np.array(centre) - thing.rgb).max() <= 2


def test_a_training_thing_is_drawn_at_its_position():
    scene = sample_scene(np.random.default_rng(5), 200, 140, count=3, extent=(0.25, 0.35), contrast=120)
    picture, outlines = draw(np.random.default_rng(0), scene)
    assert picture.size == (200, 140)
    for thing, points in zip(scene.things, outlines, strict=True):
        middle = (points.min(0) + points.max(0)) / 2
        assert np.abs(middle - (thing.x, thing.y)).max() < 0.06


def test_pictures_are_determined_by_the_seed():
    one, same, other = (sample_batch(seed, 4, 126, 9) for seed in ((1, 2), (1, 2), (1, 3)))
    assert (one.pixels == same.pixels).all() and one.scenes == same.scenes
    assert (one.pixels != other.pixels).any()


def test_patch_labels_match_the_scene():
    batch = sample_batch((4, 0), 48, 126, 9)
    labels = patch_labels(batch, 9)
    for n, scene in enumerate(batch.scenes):
        classes = {name: of[n] for name, of in labels.classes.items()}
        for k, thing in enumerate(scene.things):
            under = batch.thing[n] == k
            assert under.any()
            assert (classes["shape"][under] == thing.shape).all() and (classes["place"][under] == thing.place).all()
            alike = sum(t.colour == thing.colour for t in scene.things)
            assert (classes["same_colour"][under] == alike - 1).all()
            assert (classes["rank"][under] == description_order(scene).index(k)).all()
        background = batch.thing[n] == BACKGROUND
        assert (classes["colour"][background] == len(COLOURS) + (not scene.drawn)).all()
        assert (classes["total"] == (len(scene.things) if scene.drawn else 6)).all()
        assert (labels.foreground[n] != background).all()


def test_the_density_sums_to_the_number_of_things():
    rng = np.random.default_rng(5)
    for _ in range(40):
        scene = sample_any_scene(rng)
        assert density_of(scene, 9).sum() == pytest.approx(
            len(scene.things), abs=0.3
        )  # clipped where two share a patch


def test_mirroring_twice_restores_the_batch():
    batch = sample_batch((4, 1), 8, 126, 9)
    flipped = mirrored(batch)
    assert all(
        abs(a.x + b.x - 1) < 1e-9
        for s, t in zip(batch.scenes, flipped.scenes, strict=True)
        for a, b in zip(s.things, t.things, strict=True)
    )
    again = mirrored(flipped)
    assert (again.pixels == batch.pixels).all() and (again.thing == batch.thing).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_negative_image_fills_the_whole_picture(kind):
    picture = kind(np.random.default_rng(1), 96, 70)
    assert picture.size == (96, 70) and picture.mode == "RGB"
    assert np.asarray(picture, dtype=float).std() > 3


def test_sizes_start_at_64_pixels():
    rng = np.random.default_rng(0)
    sizes = [sample_size(rng) for _ in range(300)]
    assert min(map(min, sizes)) >= 64 and max(map(max, sizes)) <= 300


def test_a_held_out_photograph_has_contrast():
    rng = np.random.default_rng(0)
    assert all(np.asarray(held_out_photograph(rng), dtype=float).std() > 8 for _ in range(8))
