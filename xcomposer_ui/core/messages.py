"""Sentences for people: a code with its facts, worded by `locales/<language>.json`. Adding a language is one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LOCALES = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = tuple(sorted((file.stem for file in LOCALES.glob("*.json")), key=lambda name: (name != "en", name)))
"""The languages there is a file for, English first."""


@dataclass(frozen=True, init=False)
class Message:
    """What is to be said, without a language: a key of the locales, and the facts that fill its placeholders.

    A fact may itself be a Message; it is put into the same language.
    """

    code: str
    facts: Mapping[str, Any]

    def __init__(self, code: str, **facts: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "facts", facts)

    def in_language(self, language: str) -> str:
        """The sentence in `language`. Raises KeyError where code or a placeholder is unknown: a bug in the caller."""
        return text(self.code, language, **self.facts)

    def __str__(self) -> str:
        return self.in_language("en")


def text(code: str, language: str, **facts: Any) -> str:
    """The text called `code` in `language` ("en", "zh", …), its placeholders filled. KeyError: a bug in the caller."""
    sentence = sentences(language)[code]
    if not facts:
        return sentence
    worded = {name: fact.in_language(language) if isinstance(fact, Message) else fact for name, fact in facts.items()}
    return sentence.format(**worded)


@cache
def sentences(language: str) -> dict[str, str]:
    """Every text in `language`, by its code."""
    found: dict[str, str] = json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))
    # A strategy's choice: its name, and below it the line that says what is cast where.
    lines = {
        key.removesuffix(".line"): line
        for key, line in found.items()
        if key.startswith("strategy.") and key.endswith(".line")
    }
    return found | {f"{key}.choice": f"{found[key]}\n{line}" for key, line in lines.items()}
