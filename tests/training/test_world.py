import numpy as np
import pytest

from xcomposer_ui.training.drawing import draw, size_sample
from xcomposer_ui.training.holdout import draw_held_out, photograph_held_out, scene_held_out
from xcomposer_ui.training.labels import density_of, patch_labels
from xcomposer_ui.training.nonsense import KINDS
from xcomposer_ui.training.pictures import NOTHING, batch_sample, mirrored, scene_any
from xcomposer_ui.training.world import (
    COLOURS,
    PLACES,
    SHAPES,
    colour_sample,
    place_of,
    scene_sample,
    stands_out,
    told_order,
)


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [(0.1, 0.1, "top left"), (0.5, 0.2, "top"), (0.5, 0.5, "center"), (0.9, 0.5, "right"), (1.0, 1.0, "bottom right")],
)
def test_places_are_thirds_of_the_picture(x, y, place):
    assert PLACES[place_of(x, y)].en == place


def test_words_are_told_apart_in_both_languages():
    for words in (SHAPES, COLOURS, PLACES):
        assert len({w.en for w in words}) == len({w.zh for w in words}) == len(words)


@pytest.mark.parametrize("sample", [scene_any, scene_held_out])
def test_things_lie_inside_do_not_touch_and_stand_out(sample):
    rng = np.random.default_rng(3)
    for _ in range(100):
        scene = sample(rng)
        short = min(scene.width, scene.height)
        for n, thing in enumerate(scene.things):
            radius = thing.across * short / 2
            assert radius <= thing.x * scene.width <= scene.width - radius
            assert radius <= thing.y * scene.height <= scene.height - radius
            assert stands_out(thing.rgb, scene.backdrop, 40)
            for other in scene.things[:n]:
                apart = np.hypot((thing.x - other.x) * scene.width, (thing.y - other.y) * scene.height)
                assert apart > radius + other.across * short / 2


def test_a_sampled_colour_is_nearer_to_its_own_name_than_to_others():
    rng = np.random.default_rng(0)
    reds = [colour_sample(rng, 0) for _ in range(100)]
    assert all(r > 2 * max(g, b) for r, g, b in reds)
    assert all(max(colour_sample(rng, 6)) < 50 and min(colour_sample(rng, 7)) > 200 for _ in range(100))


def test_a_thing_is_drawn_where_the_scene_says():
    scene = scene_sample(np.random.default_rng(5), 200, 140, count=3, across=(0.25, 0.35), apart=120)
    assert scene.things
    for picture in (
        draw_held_out(np.random.default_rng(0), scene, weathered=False),
        draw_held_out(np.random.default_rng(1), scene, weathered=False),
    ):
        for thing in scene.things:
            centre = picture.getpixel((int(thing.x * 200), int(thing.y * 140)))
            assert np.abs(np.array(centre) - thing.rgb).max() <= 2


def test_training_draws_its_own_way_but_the_same_scene():
    scene = scene_sample(np.random.default_rng(5), 200, 140, count=3, across=(0.25, 0.35), apart=120)
    picture, outlines = draw(np.random.default_rng(0), scene)
    assert picture.size == (200, 140)
    for thing, points in zip(scene.things, outlines, strict=True):
        middle = (points.min(0) + points.max(0)) / 2
        assert np.abs(middle - (thing.x, thing.y)).max() < 0.06


def test_pictures_follow_from_the_seed_alone():
    one, same, other = (batch_sample(seed, 4, 126, 9) for seed in ((1, 2), (1, 2), (1, 3)))
    assert (one.pixels == same.pixels).all() and one.scenes == same.scenes
    assert (one.pixels != other.pixels).any()


def test_patch_labels_name_what_lies_there():
    batch = batch_sample((4, 0), 48, 126, 9)
    labels = patch_labels(batch, 9)
    for n, scene in enumerate(batch.scenes):
        classes = {name: of[n] for name, of in labels.classes.items()}
        for k, thing in enumerate(scene.things):
            under = batch.thing[n] == k
            assert under.any()
            assert (classes["shape"][under] == thing.shape).all() and (classes["place"][under] == thing.place).all()
            alike = sum(t.colour == thing.colour for t in scene.things)
            assert (classes["same_colour"][under] == alike - 1).all()
            assert (classes["rank"][under] == told_order(scene).index(k)).all()
        background = batch.thing[n] == NOTHING
        assert (classes["colour"][background] == len(COLOURS) + (not scene.drawn)).all()
        assert (classes["total"] == (len(scene.things) if scene.drawn else 6)).all()
        assert (labels.there[n] != background).all()


def test_the_density_adds_up_to_the_number_of_things():
    rng = np.random.default_rng(5)
    for _ in range(40):
        scene = scene_any(rng)
        assert density_of(scene, 9).sum() == pytest.approx(len(scene.things), abs=0.3)  # two may share a patch


def test_mirroring_moves_everything_to_the_other_side_and_back():
    batch = batch_sample((4, 1), 8, 126, 9)
    turned = mirrored(batch)
    assert all(
        abs(a.x + b.x - 1) < 1e-9
        for s, t in zip(batch.scenes, turned.scenes, strict=True)
        for a, b in zip(s.things, t.things, strict=True)
    )
    again = mirrored(turned)
    assert (again.pixels == batch.pixels).all() and (again.thing == batch.thing).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_fills_the_whole_picture(kind):
    picture = kind(np.random.default_rng(1), 96, 70)
    assert picture.size == (96, 70) and picture.mode == "RGB"
    assert np.asarray(picture, dtype=float).std() > 3


def test_sizes_start_at_64_pixels():
    rng = np.random.default_rng(0)
    sizes = [size_sample(rng) for _ in range(300)]
    assert min(map(min, sizes)) >= 64 and max(map(max, sizes)) <= 300


def test_a_held_out_photograph_is_no_plain_picture():
    rng = np.random.default_rng(0)
    assert all(np.asarray(photograph_held_out(rng), dtype=float).std() > 8 for _ in range(8))
