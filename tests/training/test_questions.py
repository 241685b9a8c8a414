import numpy as np
import pytest

from xcomposer_ui.training.answers import (
    ShapeQuery,
    colour_answer,
    count_answer,
    description_answer,
    place_answer,
    presence_answer,
    relation_answer,
    shape_answer,
)
from xcomposer_ui.training.phrases import HELD_OUT_SMALL_TALK, HELD_OUT_WORDINGS, QUESTION_WORDINGS, REFUSAL
from xcomposer_ui.training.questions import KINDS, sample_turn
from xcomposer_ui.training.world import COLOURS, SHAPES, Scene, Thing

CIRCLE, SQUARE, STAR = (ShapeQuery(shape, None) for shape in (0, 1, 3))


def thing(shape, colour, x, y):
    names = [w.en for w in SHAPES].index(shape), [w.en for w in COLOURS].index(colour)
    return Thing(*names, x, y, 0.2, 0.0, (0, 0, 0))


SCENE = Scene(
    300, 200, (thing("circle", "red", 0.2, 0.2), thing("star", "blue", 0.8, 0.5), thing("star", "red", 0.5, 0.9))
)


@pytest.mark.parametrize(
    ("answer", "english", "chinese"),
    [
        (lambda s: count_answer(ShapeQuery(None, None), SCENE, s), "There are three shapes.", "图中有三个图形。"),
        (lambda s: count_answer(STAR, SCENE, s), "There are two stars.", "图中有两个星形。"),
        (lambda s: count_answer(SQUARE, SCENE, s), "There are no squares.", "图中没有正方形。"),
        (lambda s: count_answer(ShapeQuery(3, 0), SCENE, s), "There is one red star.", "图中有一个红色的星形。"),
        (lambda s: colour_answer(CIRCLE, SCENE, s), "The circle is red.", "圆形是红色的。"),
        (lambda s: colour_answer(STAR, SCENE, s), "The stars are red and blue.", "星形是红色和蓝色的。"),
        (lambda s: colour_answer(SQUARE, SCENE, s), "There is no square.", "图中没有正方形。"),
        (lambda s: shape_answer(ShapeQuery(None, 2), SCENE, s), "The blue shape is a star.", "蓝色的是星形。"),
        (
            lambda s: shape_answer(ShapeQuery(None, 0), SCENE, s),
            "The red shapes are a circle and a star.",
            "红色的是圆形和星形。",
        ),
        (lambda s: place_answer(CIRCLE, SCENE, s), "The circle is at the top left.", "圆形在左上。"),
        (lambda s: place_answer(ShapeQuery(3, 2), SCENE, s), "The blue star is on the right.", "蓝色的星形在右侧。"),
        (lambda s: presence_answer(ShapeQuery(0, 0), SCENE, s), "Yes, there is a red circle.", "是的，有红色的圆形。"),
        (
            lambda s: presence_answer(ShapeQuery(0, 5), SCENE, s),
            "No, there is no orange circle.",
            "没有，图中没有橙色的圆形。",
        ),
        (
            lambda s: relation_answer(CIRCLE, ShapeQuery(3, 2), "left", SCENE, s),
            "Yes, the circle is left of the blue star.",
            "是的，圆形在蓝色的星形的左边。",
        ),
        (
            lambda s: relation_answer(CIRCLE, ShapeQuery(3, 2), "below", SCENE, s),
            "No, the circle is not below the blue star.",
            "不是，圆形不在蓝色的星形的下面。",
        ),
        (lambda s: relation_answer(CIRCLE, SQUARE, "left", SCENE, s), "There is no square.", "图中没有正方形。"),
        (
            lambda s: description_answer(SCENE, s),
            "There is a red circle, a red star and a blue star.",
            "图中有红色的圆形、红色的星形和蓝色的星形。",
        ),
        (lambda s: description_answer(Scene(9, 9), s), "There are no shapes.", "图中没有图形。"),
    ],
)
def test_answers_state_the_facts_of_the_scene(answer, english, chinese):
    assert (answer("en"), answer("zh")) == (english, chinese)


def test_like_things_are_described_one_by_one():
    scene = Scene(300, 200, (thing("circle", "orange", 0.2, 0.2), thing("circle", "orange", 0.8, 0.5)))
    assert description_answer(scene, "en") == "There is an orange circle and another orange circle."
    assert description_answer(scene, "zh") == "图中有橙色的圆形和另一个橙色的圆形。"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_is_determined_by_the_seed_and_has_no_unfilled_slot(kind, language):
    for seed in range(50):
        one, same = (sample_turn(np.random.default_rng(seed), SCENE, kind, language) for _ in range(2))
        assert one == same
        assert one.question and "{" not in one.question + one.answer


def test_both_languages_give_the_same_case_for_the_same_seed():
    for kind in QUESTION_WORDINGS:
        for seed in range(40):
            pair = [sample_turn(np.random.default_rng(seed), SCENE, kind, s, augment=False) for s in ("en", "zh")]
            assert pair[0].case == pair[1].case


def test_photographs_and_missing_pictures_have_their_own_answers():
    rng = np.random.default_rng(0)
    assert "no shapes" in sample_turn(rng, Scene(9, 9, drawn=False), "colour", "en").answer
    assert "图形" in sample_turn(rng, Scene(9, 9, drawn=False), "colour", "zh").answer
    assert "picture" in sample_turn(rng, None, "count", "en").answer
    assert sample_turn(rng, None, "refusal", "zh").answer == REFUSAL["zh"]


def test_held_out_wordings_are_disjoint_and_complete():
    assert HELD_OUT_WORDINGS.keys() == QUESTION_WORDINGS.keys()
    for kind, languages in HELD_OUT_WORDINGS.items():
        for language, wordings in languages.items():
            assert len(wordings) >= 3 and not set(wordings) & set(QUESTION_WORDINGS[kind][language])
            assert len(set(QUESTION_WORDINGS[kind][language])) >= 4
    assert all(len(talk) >= 50 for talk in HELD_OUT_SMALL_TALK.values())
