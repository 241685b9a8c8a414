"""Questions about a scene, as people ask them, with their answers; and the small talk that must not be answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xcomposer_ui.training.answers import (
    Wanted,
    colour_answer,
    count_answer,
    description_answer,
    place_answer,
    presence_answer,
    relation_answer,
    shape_answer,
    told_things,
    with_article,
)
from xcomposer_ui.training.loosely import asked_loosely
from xcomposer_ui.training.small_talk import small_talk
from xcomposer_ui.training.wordings import (
    ANY_SHAPE,
    ASKED,
    NO_PICTURE,
    NO_SHAPES,
    REFUSAL,
    SIDE_ASKED,
    SIDES,
    Wordings,
)
from xcomposer_ui.training.world import COLOURS, SHAPES, Rng, Scene, Thing, pick, tells_place

KINDS = (*ASKED, "refusal")


@dataclass(frozen=True)
class Turn:
    """kind: one of KINDS. about: which facts the answer rests on ("one", "several", "absent", "none", "photograph").

    looks: the things (as indices into the scene's) that each noun of the question means: where one has to look.
    told: what the answer calls each thing, with its index, where it names them one by one.
    side: of a relation, which of SIDES is asked about; None for all else.
    """

    kind: str
    language: str
    question: str
    answer: str
    about: str = "one"
    looks: tuple[tuple[int, ...], ...] = ()
    told: tuple[tuple[str, int], ...] = ()
    side: int | None = None


def _looks(scene: Scene, *nouns: Wanted) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(n for n, thing in enumerate(scene.things) if noun.fits(thing)) for noun in nouns)


def _wanted_sample(rng: Rng, scene: Scene, *, shape: bool, colour: bool, there: float) -> Wanted:
    """A shape and/or colour to ask about; with probability `there` that of a thing in the scene."""
    if scene.things and rng.random() < there:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        s, c = thing.shape, thing.colour
    else:
        s, c = int(rng.integers(len(SHAPES))), int(rng.integers(len(COLOURS)))
        if scene.things and rng.random() < 0.5:  # near misses: one half of what is asked for is there
            thing = scene.things[int(rng.integers(len(scene.things)))]
            s, c = (thing.shape, c) if rng.random() < 0.5 else (s, thing.colour)
    return Wanted(s if shape else None, c if colour else None)


def _about(wanted: Wanted, scene: Scene) -> str:
    return ("absent", "one")[len(wanted.found(scene))] if len(wanted.found(scene)) < 2 else "several"


def _the(wanted: Wanted, language: str, any_shape: str) -> str:
    name = wanted.name(language, any_shape)
    return name if language == "zh" else f"the {name}"


def _single(rng: Rng, scene: Scene, *, shape: bool, colour: bool, there: float) -> Wanted:
    """As `_wanted_sample`, mostly such that at most one thing fits: people ask about one."""
    for _ in range(6):
        wanted = _wanted_sample(rng, scene, shape=shape, colour=colour, there=there)
        if len(wanted.found(scene)) < 2 or rng.random() < 0.35:
            break
    return wanted


def _count(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    open_shape, open_colour = ((True, True), (True, False), (False, True), (False, False))[
        int(rng.choice(4, p=(0.4, 0.25, 0.25, 0.1)))
    ]
    wanted = _wanted_sample(rng, scene, shape=not open_shape, colour=not open_colour, there=0.8)
    many = wanted.name(language, pick(rng, ANY_SHAPE[language]), plural=True)
    asked = pick(rng, wordings["count"][language]).format(many=many)
    return Turn(
        "count", language, asked, count_answer(wanted, scene, language), _about(wanted, scene), _looks(scene, wanted)
    )


def _colour(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    wanted = _single(rng, scene, shape=True, colour=False, there=0.88)
    asked = pick(rng, wordings["colour"][language]).format(a=_the(wanted, language, ""))
    return Turn(
        "colour", language, asked, colour_answer(wanted, scene, language), _about(wanted, scene), _looks(scene, wanted)
    )


def _shape(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    wanted = _single(rng, scene, shape=False, colour=True, there=0.88)
    colour = COLOURS[wanted.colour or 0].in_language(language)
    asked = pick(rng, wordings["shape"][language]).format(colour=colour)
    return Turn(
        "shape", language, asked, shape_answer(wanted, scene, language), _about(wanted, scene), _looks(scene, wanted)
    )


def _place(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    kind = rng.random()
    for _ in range(4):  # what lies on the line between two places teaches little
        wanted = _single(rng, scene, shape=kind < 0.85, colour=kind > 0.6, there=0.9)
        if all(tells_place(thing.x, thing.y, 0.012) for thing in wanted.found(scene)):
            break
    asked = pick(rng, wordings["place"][language]).format(a=_the(wanted, language, pick(rng, ANY_SHAPE[language])))
    return Turn(
        "place", language, asked, place_answer(wanted, scene, language), _about(wanted, scene), _looks(scene, wanted)
    )


def _presence(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    kind = rng.random()
    wanted = _wanted_sample(rng, scene, shape=kind < 0.85, colour=kind < 0.65 or kind >= 0.85, there=0.5)
    any_shape = pick(rng, ANY_SHAPE[language])
    some = wanted.name(language, any_shape)
    many = wanted.name(language, any_shape, plural=True)
    asked = pick(rng, wordings["presence"][language]).format(
        some=some if language == "zh" else with_article(some), many=many
    )
    return Turn(
        "presence",
        language,
        asked,
        presence_answer(wanted, scene, language),
        _about(wanted, scene),
        _looks(scene, wanted),
    )


def _relation(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    first, second = _pair(rng, scene)
    side = pick(rng, SIDES)
    about = "one"
    if first.found(scene) and second.found(scene):
        side = _clear_side(rng, first.found(scene)[0], second.found(scene)[0], side)
    else:
        about = "absent"
    asked = pick(rng, wordings["relation"][language]).format(
        a=_the(first, language, ""), b=_the(second, language, ""), side=pick(rng, SIDE_ASKED[side][language])
    )
    return Turn(
        "relation",
        language,
        asked,
        relation_answer(first, second, side, scene, language),
        about,
        _looks(scene, first, second),
        side=SIDES.index(side),
    )


def _pair(rng: Rng, scene: Scene) -> tuple[Wanted, Wanted]:
    """Two different things to compare, each named so that it is the only one; now and then one that is not there."""
    for _ in range(20):
        first, second = (_named(rng, scene) for _ in range(2))
        found = first.found(scene), second.found(scene)
        if max(map(len, found)) < 2 and first != second and (not found[0] or found[0] != found[1]):
            return first, second
    return Wanted(0, 0), Wanted(1, 1)


def _named(rng: Rng, scene: Scene) -> Wanted:
    """A thing by its shape, and by its colour too where the shape alone would not tell it apart."""
    full = _wanted_sample(rng, scene, shape=True, colour=True, there=0.94)
    short = Wanted(full.shape, None)
    return full if len(short.found(scene)) > 1 or rng.random() < 0.2 else short


def _clear_side(rng: Rng, first: Thing, second: Thing, side: str) -> str:
    """`side`, or one of the other axis where the two centres are too close along this one to tell."""
    across, down = abs(first.x - second.x), abs(first.y - second.y)
    if (across if side in SIDES[:2] else down) > 0.04:
        return side
    return pick(rng, SIDES[:2] if across > down else SIDES[2:])


def _description(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    asked = pick(rng, wordings["description"][language])
    told = tuple(told_things(scene, language))
    return Turn(
        "description", language, asked, description_answer(scene, language), "one" if told else "none", told=told
    )


def _refusal(rng: Rng, scene: Scene, language: str, wordings: Wordings) -> Turn:
    return Turn("refusal", language, small_talk(rng, language), REFUSAL[language], "none")


ASKERS: dict[str, Callable[[Rng, Scene, str, Wordings], Turn]] = {
    "count": _count,
    "colour": _colour,
    "shape": _shape,
    "place": _place,
    "presence": _presence,
    "relation": _relation,
    "description": _description,
    "refusal": _refusal,
}


def turn_sample(
    rng: Rng,
    scene: Scene | None,
    kind: str,
    language: str,
    *,
    loosely: bool = True,
    wordings: Wordings = ASKED,
) -> Turn:
    """A question of `kind` about `scene` (None: no picture at all) with the answer that is right for it.

    loosely: whether to type it as people do, with small slips. wordings: what to choose from.
    """
    turn = ASKERS[kind](rng, scene or Scene(1, 1), language, wordings)
    question = turn.question[:1].upper() + turn.question[1:]
    question = asked_loosely(rng, question, language) if loosely else question
    answer, about = turn.answer, turn.about
    if kind != "refusal" and scene is None:
        answer, about = NO_PICTURE[language], "no picture"
    elif kind != "refusal" and scene is not None and not scene.drawn:
        answer, about = NO_SHAPES[language], "photograph"
    return replace(turn, question=question, answer=answer, about=about)
