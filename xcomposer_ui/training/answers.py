"""Answers about a scene, right by construction: one wording each, with the exact word and no other of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xcomposer_ui.training.wordings import ANY_SHAPE, NUMBERS, PLACE_ANSWERED, SIDE_ANSWERED
from xcomposer_ui.training.world import COLOURS, PLACES, SHAPES, Scene, Thing, told_order


@dataclass(frozen=True)
class Wanted:
    """What a question is about: a shape, a colour, or both; None for any. Indices into SHAPES and COLOURS."""

    shape: int | None
    colour: int | None

    def fits(self, thing: Thing) -> bool:
        """Whether `thing` is such a one."""
        return self.shape in (None, thing.shape) and self.colour in (None, thing.colour)

    def found(self, scene: Scene) -> list[Thing]:
        """The things in `scene` that fit."""
        return [t for t in scene.things if self.fits(t)]

    def name(self, language: str, any_shape: str | None = None, *, plural: bool = False) -> str:
        """What people call it: "red circle", "红色的圆形". any_shape: the word where the shape is open."""
        shape = (
            (any_shape or ANY_SHAPE[language][0]) if self.shape is None else SHAPES[self.shape].in_language(language)
        )
        colour = "" if self.colour is None else COLOURS[self.colour].in_language(language)
        if language == "zh":
            return f"{colour}的{shape}" if colour else shape
        shape = plural_of(shape) if plural else shape
        return f"{colour} {shape}" if colour else shape


def plural_of(noun: str) -> str:
    """English plural of one of the world's nouns."""
    return noun + ("es" if noun.endswith("s") else "s")


def with_article(name: str) -> str:
    """ "a red circle", "an orange circle"."""
    return ("an " if name[0] in "aeiou" else "a ") + name


def joined(parts: Sequence[str], language: str) -> str:
    """ "a, b and c"; "a、b和c"."""
    if len(parts) == 1:
        return parts[0]
    comma, last = ("、", "和") if language == "zh" else (", ", " and ")
    return comma.join(parts[:-1]) + last + parts[-1]


def count_answer(wanted: Wanted, scene: Scene, language: str) -> str:
    """ "There are three shapes."; "图中有三个图形。"."""
    number = len(wanted.found(scene))
    if language == "zh":
        name = wanted.name("zh")
        return f"图中有{NUMBERS['zh'][number]}个{name}。" if number else f"图中没有{name}。"
    name = wanted.name("en", plural=number != 1)
    return f"There {'is' if number == 1 else 'are'} {NUMBERS['en'][number]} {name}."


def absent_answer(wanted: Wanted, language: str) -> str:
    """What is said of something that is not there."""
    return f"图中没有{wanted.name('zh')}。" if language == "zh" else f"There is no {wanted.name('en')}."


def colour_answer(wanted: Wanted, scene: Scene, language: str) -> str:
    """ "The circle is red."; several circles of several colours are all named."""
    found = wanted.found(scene)
    if not found:
        return absent_answer(wanted, language)
    colours = [COLOURS[c].in_language(language) for c in sorted({t.colour for t in found})]
    if language == "zh":
        return f"{wanted.name('zh')}是{joined(colours, 'zh')}的。"
    verb = "is" if len(found) == 1 else "are"
    return f"The {wanted.name('en', plural=len(found) > 1)} {verb} {joined(colours, 'en')}."


def shape_answer(wanted: Wanted, scene: Scene, language: str) -> str:
    """ "The red shape is a circle."; several are all named, each kind once."""
    found = wanted.found(scene)
    if not found:
        return absent_answer(wanted, language)
    shapes = [SHAPES[s].in_language(language) for s in sorted({t.shape for t in found})]
    if language == "zh":
        return f"{COLOURS[wanted.colour or 0].zh}的是{joined(shapes, 'zh')}。"
    if len(found) == 1:
        return f"The {wanted.name('en')} is {with_article(shapes[0])}."
    names = [plural_of(shapes[0])] if len(shapes) == 1 else [with_article(s) for s in shapes]
    return f"The {wanted.name('en', plural=True)} are {joined(names, 'en')}."


def place_answer(wanted: Wanted, scene: Scene, language: str) -> str:
    """ "The star is at the top left."; several are all placed, each place once, in reading order."""
    found = wanted.found(scene)
    if not found:
        return absent_answer(wanted, language)
    places = [
        f"{PLACE_ANSWERED[language][p]} {PLACES[p].in_language(language)}".strip()
        for p in sorted({t.place for t in found})
    ]
    if language == "zh":
        return f"{wanted.name('zh')}在{joined(places, 'zh')}。"
    verb = "is" if len(found) == 1 else "are"
    return f"The {wanted.name('en', plural=len(found) > 1)} {verb} {joined(places, 'en')}."


def presence_answer(wanted: Wanted, scene: Scene, language: str) -> str:
    """ "Yes, there is a red circle."; "No, there is no red circle."."""
    name = wanted.name(language)
    if language == "zh":
        return f"是的，有{name}。" if wanted.found(scene) else f"没有，图中没有{name}。"
    return f"Yes, there is {with_article(name)}." if wanted.found(scene) else f"No, there is no {name}."


def is_beside(first: Thing, second: Thing, side: str) -> bool:
    """Whether the centre of `first` lies to that `side` (one of SIDES) of the centre of `second`."""
    return {
        "left": first.x < second.x,
        "right": first.x > second.x,
        "above": first.y < second.y,
        "below": first.y > second.y,
    }[side]


def relation_answer(first: Wanted, second: Wanted, side: str, scene: Scene, language: str) -> str:
    """ "Yes, the star is left of the square."; names what is missing where one of the two is not there."""
    missing = [w for w in (first, second) if not w.found(scene)]
    if len(missing) == 2:
        return (
            f"图中没有{first.name('zh')}和{second.name('zh')}。"
            if language == "zh"
            else f"There is no {first.name('en')} and no {second.name('en')}."
        )
    if missing:
        return absent_answer(missing[0], language)
    true = is_beside(first.found(scene)[0], second.found(scene)[0], side)
    a, b, word = first.name(language), second.name(language), SIDE_ANSWERED[side][language]
    if language == "zh":
        return f"是的，{a}在{b}的{word}。" if true else f"不是，{a}不在{b}的{word}。"
    return f"Yes, the {a} is {word} the {b}." if true else f"No, the {a} is not {word} the {b}."


def told_things(scene: Scene, language: str) -> list[tuple[str, int]]:
    """What a description calls each thing, with its index in the scene, in the order in which they are told.

    By colour, then shape; a second one alike is "another".
    """
    names: list[tuple[str, int]] = []
    before: tuple[int, int] | None = None
    for n in told_order(scene):
        kind = scene.things[n].colour, scene.things[n].shape
        name = Wanted(kind[1], kind[0]).name(language)
        if language == "zh":
            name = ("另一个" if kind == before else "") + name
        else:
            name = f"another {name}" if kind == before else with_article(name)
        names.append((name, n))
        before = kind
    return names


def description_answer(scene: Scene, language: str) -> str:
    """Every thing with colour and shape, as `told_things` has them."""
    if not scene.things:
        return "图中没有图形。" if language == "zh" else "There are no shapes."
    names = joined([name for name, _ in told_things(scene, language)], language)
    return f"图中有{names}。" if language == "zh" else f"There is {names}."
