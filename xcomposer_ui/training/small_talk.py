"""Random off-topic questions (small talk), to which the only right answer is the refusal.

A list alone could be memorised, so part of the words is invented. Two kinds of hard negatives keep single words and
wordings from giving the answer away: near misses, which mention shapes, colours or pictures ("Why is a diamond so
expensive?"), and the wordings of real questions, asked about something that is not a shape.
"""

from __future__ import annotations

import re
from typing import Any

from xcomposer_ui.training.phrases import (
    HELD_OUT_SMALL_TALK,
    QUESTION_WORDINGS,
    SENTENCES,
    SIDE_PHRASES,
    SIDES,
    ByLanguage,
    load_data,
)
from xcomposer_ui.training.world import COLOURS, SHAPES, Rng, pick

_DATA: dict[str, Any] = load_data("small_talk")

TEMPLATES: ByLanguage = _DATA["templates"]
"""Off-topic questions with the slots of `_slot_value`."""

NEAR_MISSES: ByLanguage = _DATA["near_misses"]
"""Off-topic questions that mention shapes, colours or pictures, with the same slots."""

NEAR_MISS_SHARE, OFF_TOPIC_WORDING_SHARE = 0.3, 0.15
"""Shares of small talk that are near misses, and real wordings about something that is not a shape."""

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl pr sh sk st th tr".split()
_VOWELS = "a e i o u ai ea ee oo ou".split()
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "ck", "ng", "st", "rd", "x"]

_CHARACTER_RANGES = ((33, 127), (0xA1, 0x250), (0x391, 0x4FF), (0x3041, 0x30FF), (0xAC00, 0xD7A3), (0x1F300, 0x1F640))
"""Code points of random strings: ASCII, Latin, Greek and Cyrillic, kana, Hangul, emoji."""


def small_talk(rng: Rng, language: str, *, invent: bool = True) -> str:
    """Sample an off-topic question that is not in the evaluation's list.

    Args:
        rng: source of randomness.
        language: "en" or "zh".
        invent: whether slots may be filled with invented words.
    """
    while (text := _sample(rng, language, invent)) in HELD_OUT_SMALL_TALK[language]:
        pass
    return text


def invented_word(rng: Rng, language: str) -> str:
    """Sample a word that does not exist: syllables, a few Han characters, or a string of arbitrary characters."""
    kind = rng.random()
    if kind < 0.1:
        first, last = _CHARACTER_RANGES[int(rng.integers(len(_CHARACTER_RANGES)))]
        characters = (chr(int(c)) for c in rng.integers(first, last, int(rng.integers(1, 6))))
        return "".join(c for c in characters if c not in "<[")  # with these, a control token could be spelt
    if language == "zh" and kind < 0.9:
        return "".join(chr(int(c)) for c in rng.integers(0x4E00, 0x9FA0, int(rng.integers(1, 4))))
    syllables = (
        pick(rng, _ONSETS) + pick(rng, _VOWELS) + pick(rng, _CODAS)
        for _ in range(int(rng.choice((1, 2, 3), p=(0.4, 0.4, 0.2))))
    )
    word = "".join(syllables)
    return word.capitalize() if rng.random() < 0.25 else word


def _sample(rng: Rng, language: str, invent: bool) -> str:
    kind = rng.random()
    if kind < OFF_TOPIC_WORDING_SHARE:
        template = _off_topic_wording(rng, language)
    else:
        near_miss = kind < OFF_TOPIC_WORDING_SHARE + NEAR_MISS_SHARE
        template = pick(rng, (NEAR_MISSES if near_miss else TEMPLATES)[language])
    text = ""
    while "{" in template:  # one slot at a time, so that a repeated slot gets a new value
        before, rest = template.split("{", 1)
        text, template = text + before, _slot_value(rng, rest[0], language, invent) + rest[2:]
    # A wrong article would mark the question as generated.
    return re.sub(r"\b(a|A) (?=[aeiou])", r"\1n ", text + template)


def _off_topic_wording(rng: Rng, language: str) -> str:
    """Take a real question's wording as a template about an off-topic noun, sometimes with a colour."""
    kind = pick(rng, ("count", "colour", "shape", "place", "presence", "relation"))
    coloured = rng.random() < 0.25 and kind != "colour"
    noun = SENTENCES["coloured"][language].format(colour="{c}", shape="{n}") if coloured else "{n}"
    the, some, plural = ("the ", "a ", "s") if language == "en" else ("", "", "")
    side = pick(rng, SIDE_PHRASES[pick(rng, SIDES)][language])
    return pick(rng, QUESTION_WORDINGS[kind][language]).format(
        a=the + noun, b=the + noun, some=some + noun, many=noun + plural, colour="{x}", side=side
    )


def _slot_value(rng: Rng, slot: str, language: str, invent: bool) -> str:
    """Sample a value for a template's slot.

    i, j: a number. s: a shape. c: a colour of the world. x: another colour. a: an English adjective. e: an English
    phrase of time or place. f: an English topic of knowledge. n: a noun. t: a topic. w: an invented word.
    """
    if slot in "ij":
        return str(int(rng.integers(0, 10 ** int(rng.integers(1, 4)))))
    if slot == "s":
        return SHAPES[int(rng.integers(len(SHAPES)))].in_language(language)
    if slot == "c":
        return COLOURS[int(rng.integers(len(COLOURS)))].in_language(language)
    if slot == "x":
        return pick(rng, _DATA["other_colours"][language])
    if slot == "a":
        return pick(rng, _DATA["adjectives"])
    if slot == "e":
        return pick(rng, _DATA["times"])
    if invent and (slot == "w" or rng.random() < 0.3):
        return invented_word(rng, language)
    if slot == "f":
        return pick(rng, _DATA["knowledge"])
    return pick(rng, _DATA["nouns" if slot in "nw" else "topics"][language])
