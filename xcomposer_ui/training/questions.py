"""Random questions about a scene with their correct answers, and off-topic questions with the refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xcomposer_ui.training.answers import (
    ShapeQuery,
    colour_answer,
    count_answer,
    description_answer,
    mentions,
    place_answer,
    presence_answer,
    relation_answer,
    shape_answer,
    with_article,
)
from xcomposer_ui.training.augmentation import augment_question
from xcomposer_ui.training.phrases import (
    ANY_SHAPE,
    NO_PICTURE,
    NO_SHAPES,
    QUESTION_WORDINGS,
    REFUSAL,
    SIDE_PHRASES,
    SIDES,
    Wordings,
)
from xcomposer_ui.training.small_talk import small_talk
from xcomposer_ui.training.world import COLOURS, SHAPES, Rng, Scene, Thing, has_clear_place, pick

KINDS = (*QUESTION_WORDINGS, "refusal")


@dataclass(frozen=True)
class Turn:
    """One question with its answer.

    kind: one of KINDS. language: "en" or "zh".
    case: the number of things that the answer depends on ("one", "several", "absent"), "none" where it depends on
    none, "photograph" or "no picture" where the picture has no shapes or is missing.
    referents: for each noun of the question, the indices of the scene's things that it refers to.
    mentions: for a description, each noun phrase of the answer with the index of its thing.
    side: for a relation, the index into SIDES; None otherwise.
    """

    kind: str
    language: str
    question: str
    answer: str
    case: str = "one"
    referents: tuple[tuple[int, ...], ...] = ()
    mentions: tuple[tuple[str, int], ...] = ()
    side: int | None = None


Answerer = Callable[[ShapeQuery, Scene, str], str]


def _turn(kind: str, language: str, question: str, answer: Answerer, query: ShapeQuery, scene: Scene) -> Turn:
    """Build the turn of a question that has one noun."""
    case = ("absent", "one", "several")[min(len(query.select(scene)), 2)]
    return Turn(kind, language, question, answer(query, scene, language), case, _referents(scene, query))


def _referents(scene: Scene, *queries: ShapeQuery) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(n for n, thing in enumerate(scene.things) if query.matches(thing)) for query in queries)


def _sample_query(rng: Rng, scene: Scene, *, shape: bool, colour: bool, present: float) -> ShapeQuery:
    """Sample a query by shape and/or colour, with probability `present` that of a thing in the scene."""
    if scene.things and rng.random() < present:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        s, c = thing.shape, thing.colour
    else:
        s, c = int(rng.integers(len(SHAPES))), int(rng.integers(len(COLOURS)))
        if scene.things and rng.random() < 0.5:  # a hard negative: its shape or its colour is in the scene
            thing = scene.things[int(rng.integers(len(scene.things)))]
            s, c = (thing.shape, c) if rng.random() < 0.5 else (s, thing.colour)
    return ShapeQuery(s if shape else None, c if colour else None)


def _sample_single(rng: Rng, scene: Scene, *, shape: bool, colour: bool, present: float) -> ShapeQuery:
    """As `_sample_query`, but mostly one that at most one thing matches, as in most questions in the singular."""
    for _ in range(6):
        query = _sample_query(rng, scene, shape=shape, colour=colour, present=present)
        if len(query.select(scene)) < 2 or rng.random() < 0.35:
            break
    return query


def _definite(query: ShapeQuery, language: str, any_shape: str = "") -> str:
    name = query.name(language, any_shape)
    return name if language == "zh" else f"the {name}"


def _count(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    by_shape, by_colour = ((False, False), (False, True), (True, False), (True, True))[
        int(rng.choice(4, p=(0.4, 0.25, 0.25, 0.1)))
    ]
    query = _sample_query(rng, scene, shape=by_shape, colour=by_colour, present=0.8)
    many = query.name(language, pick(rng, ANY_SHAPE[language]), plural=True)
    question = pick(rng, wordings["count"][language]).format(many=many)
    return _turn("count", language, question, count_answer, query, scene)


def _colour(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    query = _sample_single(rng, scene, shape=True, colour=False, present=0.88)
    question = pick(rng, wordings["colour"][language]).format(a=_definite(query, language))
    return _turn("colour", language, question, colour_answer, query, scene)


def _shape(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    query = _sample_single(rng, scene, shape=False, colour=True, present=0.88)
    colour = COLOURS[query.colour or 0].in_language(language)
    question = pick(rng, wordings["shape"][language]).format(colour=colour)
    return _turn("shape", language, question, shape_answer, query, scene)


def _place(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    kind = rng.random()
    for _ in range(4):  # a thing on the border between two places is ambiguous and teaches little
        query = _sample_single(rng, scene, shape=kind < 0.85, colour=kind > 0.6, present=0.9)
        if all(has_clear_place(thing.x, thing.y, 0.012) for thing in query.select(scene)):
            break
    template = pick(rng, wordings["place"][language])
    question = template.format(a=_definite(query, language, pick(rng, ANY_SHAPE[language])))
    return _turn("place", language, question, place_answer, query, scene)


def _presence(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    kind = rng.random()
    query = _sample_query(rng, scene, shape=kind < 0.85, colour=kind < 0.65 or kind >= 0.85, present=0.5)
    any_shape = pick(rng, ANY_SHAPE[language])
    some, many = query.name(language, any_shape), query.name(language, any_shape, plural=True)
    some = some if language == "zh" else with_article(some)
    question = pick(rng, wordings["presence"][language]).format(some=some, many=many)
    return _turn("presence", language, question, presence_answer, query, scene)


def _relation(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    first, second = _sample_pair(rng, scene)
    side, case = pick(rng, SIDES), "absent"
    if first.select(scene) and second.select(scene):
        side, case = _unambiguous_side(rng, first.select(scene)[0], second.select(scene)[0], side), "one"
    template = pick(rng, wordings["relation"][language])
    phrase = pick(rng, SIDE_PHRASES[side][language])
    question = template.format(a=_definite(first, language), b=_definite(second, language), side=phrase)
    answer = relation_answer(first, second, side, scene, language)
    referents = _referents(scene, first, second)
    return Turn("relation", language, question, answer, case, referents, side=SIDES.index(side))


def _sample_pair(rng: Rng, scene: Scene) -> tuple[ShapeQuery, ShapeQuery]:
    """Sample two queries that each match at most one thing, and not the same one."""
    for _ in range(20):
        first, second = (_sample_unique(rng, scene) for _ in range(2))
        selected = first.select(scene), second.select(scene)
        if max(map(len, selected)) < 2 and first != second and (not selected[0] or selected[0] != selected[1]):
            return first, second
    return ShapeQuery(0, 0), ShapeQuery(1, 1)


def _sample_unique(rng: Rng, scene: Scene) -> ShapeQuery:
    """Sample a query by shape, with the colour where the shape alone is ambiguous and sometimes where it is not."""
    full = _sample_query(rng, scene, shape=True, colour=True, present=0.94)
    short = ShapeQuery(full.shape, None)
    return full if len(short.select(scene)) > 1 or rng.random() < 0.2 else short


def _unambiguous_side(rng: Rng, first: Thing, second: Thing, side: str) -> str:
    """Return `side`, or a side of the other axis where the two centres are too close along this one."""
    dx, dy = abs(first.x - second.x), abs(first.y - second.y)
    if (dx if side in SIDES[:2] else dy) > 0.04:
        return side
    return pick(rng, SIDES[:2] if dx > dy else SIDES[2:])


def _description(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    question = pick(rng, wordings["description"][language])
    named = tuple(mentions(scene, language))
    case = "one" if named else "none"
    return Turn("description", language, question, description_answer(scene, language), case, mentions=named)


def _refusal(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    return Turn("refusal", language, small_talk(rng, language), REFUSAL[language], "none")


SAMPLERS: dict[str, Callable[[Rng, Scene, str, Wordings], Turn]] = {
    "count": _count,
    "colour": _colour,
    "shape": _shape,
    "place": _place,
    "presence": _presence,
    "relation": _relation,
    "description": _description,
    "refusal": _refusal,
}


def sample_turn(
    rng: Rng,
    scene: Scene | None,
    kind: str,
    language: str,
    *,
    augment: bool = True,
    wordings: Wordings = QUESTION_WORDINGS,
) -> Turn:
    """Sample a question of `kind` about `scene`, with its correct answer.

    Args:
        rng: source of randomness.
        scene: what the picture shows; None where there is no picture.
        kind: one of KINDS.
        language: "en" or "zh".
        augment: whether to vary the question as people type it.
        wordings: the templates to choose from.
    """
    turn = SAMPLERS[kind](rng, scene or Scene(1, 1), language, wordings)
    question = turn.question[:1].upper() + turn.question[1:]
    question = augment_question(rng, question, language) if augment else question
    answer, case = turn.answer, turn.case
    if kind != "refusal" and scene is None:
        answer, case = NO_PICTURE[language], "no picture"
    elif kind != "refusal" and scene is not None and not scene.drawn:
        answer, case = NO_SHAPES[language], "photograph"
    return replace(turn, question=question, answer=answer, case=case)
