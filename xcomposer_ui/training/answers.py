"""Correct answers to questions about a scene. Each fact has exactly one wording, so a match is a string comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xcomposer_ui.training.phrases import ANSWERS, ANY_SHAPE, SENTENCES
from xcomposer_ui.training.world import COLOURS, PLACES, SHAPES, Scene, Thing, description_order


@dataclass(frozen=True)
class ShapeQuery:
    """The things that a question refers to, by shape, colour or both.

    shape, colour: indices into SHAPES and COLOURS; None matches any.
    """

    shape: int | None
    colour: int | None

    def matches(self, thing: Thing) -> bool:
        """Whether `thing` has the shape and the colour."""
        return self.shape in (None, thing.shape) and self.colour in (None, thing.colour)

    def select(self, scene: Scene) -> list[Thing]:
        """The matching things of `scene`, in its order."""
        return [thing for thing in scene.things if self.matches(thing)]

    def name(self, language: str, any_shape: str | None = None, *, plural: bool = False) -> str:
        """The noun phrase in `language`: "red circle", "红色的圆形".

        Args:
            language: "en" or "zh".
            any_shape: the noun where the shape is open; None for the first of ANY_SHAPE.
            plural: whether to use the plural, which Chinese does not have.
        """
        shape = any_shape or ANY_SHAPE[language][0]
        if self.shape is not None:
            shape = SHAPES[self.shape].in_language(language)
        if plural and language == "en":
            shape = plural_of(shape)
        if self.colour is None:
            return shape
        return _sentence("coloured", language, colour=COLOURS[self.colour].in_language(language), shape=shape)


def _sentence(key: str, language: str, /, **slots: str) -> str:
    return SENTENCES[key][language].format(**slots)


def plural_of(noun: str) -> str:
    """English plural of one of the world's nouns."""
    return noun + ("es" if noun.endswith("s") else "s")


def with_article(name: str) -> str:
    """English noun phrase with its indefinite article: "a red circle", "an orange circle"."""
    return ("an " if name[0] in "aeiou" else "a ") + name


def joined(parts: Sequence[str], language: str) -> str:
    """Enumeration of one or more `parts`: "a, b and c", "a、b和c"."""
    if len(parts) == 1:
        return parts[0]
    comma, conjunction = ANSWERS["separators"][language]
    return str(comma.join(parts[:-1]) + conjunction + parts[-1])


def _be(things: Sequence[Thing]) -> str:
    return "is" if len(things) == 1 else "are"


def count_answer(query: ShapeQuery, scene: Scene, language: str) -> str:
    """Answer with the number of matching things: "There are three shapes."."""
    things = query.select(scene)
    if not things and language == "zh":
        return absent_answer(query, language)
    name, number = query.name(language, plural=len(things) != 1), ANSWERS["numbers"][language][len(things)]
    return _sentence("count", language, verb=_be(things), number=number, name=name)


def absent_answer(query: ShapeQuery, language: str) -> str:
    """Answer that nothing matches: "There is no red circle."."""
    return _sentence("absent", language, name=query.name(language))


def colour_answer(query: ShapeQuery, scene: Scene, language: str) -> str:
    """Answer with the colours of the matching things, each once: "The stars are red and blue."."""
    things = query.select(scene)
    if not things:
        return absent_answer(query, language)
    colours = joined([COLOURS[c].in_language(language) for c in sorted({t.colour for t in things})], language)
    name = query.name(language, plural=len(things) > 1)
    return _sentence("colour", language, name=name, verb=_be(things), colours=colours)


def shape_answer(query: ShapeQuery, scene: Scene, language: str) -> str:
    """Answer with the shapes of the things of the query's colour, each once: "The red shape is a circle."."""
    things = query.select(scene)
    if not things:
        return absent_answer(query, language)
    shapes = [SHAPES[s].in_language(language) for s in sorted({t.shape for t in things})]
    if language == "en":
        shapes = [plural_of(shapes[0])] if len(things) > len(shapes) == 1 else [with_article(s) for s in shapes]
    name, colour = query.name(language, plural=len(things) > 1), COLOURS[query.colour or 0].in_language(language)
    slots = {"name": name, "colour": colour, "verb": _be(things), "shapes": joined(shapes, language)}
    return _sentence("shape", language, **slots)


def place_answer(query: ShapeQuery, scene: Scene, language: str) -> str:
    """Answer with the places of the matching things, each once in reading order: "The star is at the top left."."""
    things = query.select(scene)
    if not things:
        return absent_answer(query, language)
    prefixes = ANSWERS["place_prefix"][language]
    places = [f"{prefixes[p]} {PLACES[p].in_language(language)}".strip() for p in sorted({t.place for t in things})]
    name = query.name(language, plural=len(things) > 1)
    return _sentence("place", language, name=name, verb=_be(things), places=joined(places, language))


def presence_answer(query: ShapeQuery, scene: Scene, language: str) -> str:
    """Answer whether anything matches: "Yes, there is a red circle."."""
    name = query.name(language)
    some = with_article(name) if language == "en" else name
    return _sentence("present" if query.select(scene) else "not_present", language, name=name, some=some)


def is_beside(first: Thing, second: Thing, side: str) -> bool:
    """Whether the centre of `first` is on that `side` (one of SIDES) of the centre of `second`."""
    return {
        "left": first.x < second.x,
        "right": first.x > second.x,
        "above": first.y < second.y,
        "below": first.y > second.y,
    }[side]


def relation_answer(first: ShapeQuery, second: ShapeQuery, side: str, scene: Scene, language: str) -> str:
    """Answer whether `first` is on that side of `second`, or which of the two is not in the scene."""
    a, b = first.name(language), second.name(language)
    missing = [query for query in (first, second) if not query.select(scene)]
    if len(missing) == 2:
        return _sentence("both_absent", language, a=a, b=b)
    if missing:
        return absent_answer(missing[0], language)
    true = is_beside(first.select(scene)[0], second.select(scene)[0], side)
    key = "relation_true" if true else "relation_false"
    return _sentence(key, language, a=a, b=b, side=ANSWERS["side"][side][language])


def mentions(scene: Scene, language: str) -> list[tuple[str, int]]:
    """Noun phrases of a description in their order, each with the index of its thing.

    Sorted by colour, then shape; the second of two like things is "another".
    """
    names: list[tuple[str, int]] = []
    previous: tuple[int, int] | None = None
    for n in description_order(scene):
        kind = scene.things[n].colour, scene.things[n].shape
        name = ShapeQuery(kind[1], kind[0]).name(language)
        if kind == previous:
            name = _sentence("another", language, name=name)
        elif language == "en":
            name = with_article(name)
        names.append((name, n))
        previous = kind
    return names


def description_answer(scene: Scene, language: str) -> str:
    """Answer with every thing's colour and shape: "There is a red circle and a blue star."."""
    if not scene.things:
        return _sentence("no_things", language)
    return _sentence("description", language, names=joined([name for name, _ in mentions(scene, language)], language))
