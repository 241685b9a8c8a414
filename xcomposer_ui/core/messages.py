"""Sentences for people: a code with its facts, and the texts of `locales/<language>.json`, one file per language."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LOCALES = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = tuple(sorted((file.stem for file in LOCALES.glob("*.json")), key=lambda name: (name != "en", name)))
"""The languages that have a file, English first."""


@dataclass(frozen=True, init=False)
class Message:
    """A sentence independent of language: a key of the locales, and the facts that fill its placeholders.

    A fact may itself be a Message or a Text, which is translated too. `str()` gives the English sentence.
    """

    code: str
    facts: Mapping[str, Any]

    def __init__(self, code: str, /, **facts: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "facts", facts)

    def __hash__(self) -> int:
        return hash(self.code)  # facts need not be hashable

    def in_language(self, language: str) -> str:
        """The sentence in `language`. Raises KeyError where the code or a placeholder is unknown."""
        return text(self.code, language, **self.facts)

    def __str__(self) -> str:
        return self.in_language("en")


@dataclass(frozen=True)
class Text:
    """A sentence of an explanation rule, in English and Chinese. Every other language shows the English one."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        return self.zh if language == "zh" else self.en

    def __str__(self) -> str:
        return self.en


Sentence = str | Message | Text
"""A text of one language only (PyTorch's message, a version), or a sentence that exists in each language."""


def worded(sentence: Sentence, language: str) -> str:
    """`sentence` in `language`; a plain text unchanged."""
    return sentence if isinstance(sentence, str) else sentence.in_language(language)


def text(code: str, language: str, /, **facts: Any) -> str:
    """The text `code` in `language` ("en", "zh", …), its placeholders filled.

    Raises KeyError where the code or a placeholder is unknown.
    """
    sentence = sentences(language)[code]
    if not facts:
        return sentence
    filled = {
        name: fact.in_language(language) if isinstance(fact, Message | Text) else fact for name, fact in facts.items()
    }
    return sentence.format(**filled)


@cache
def sentences(language: str) -> dict[str, str]:
    """Code -> text in `language`, or in English where the language's file lacks the code."""
    own: dict[str, str] = json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))
    return own if language == "en" else sentences("en") | own


def language_of(accepted: str) -> str:
    """The first language of an Accept-Language header such as "zh-CN,zh;q=0.9"; "en" where it has no file."""
    first = re.split(r"[-_,;]", accepted.strip().lower())[0]
    return first if first in LANGUAGES else "en"
