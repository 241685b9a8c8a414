"""Random variations of questions, as people type them: fillers, synonyms, missing punctuation, letter case."""

from __future__ import annotations

import re
from typing import Any

from xcomposer_ui.training.phrases import QUESTION_PHRASES, ByLanguage
from xcomposer_ui.training.world import Rng, pick

FILLERS: ByLanguage = QUESTION_PHRASES["fillers"]
"""Words that can be inserted into a question without changing its meaning."""

SYNONYMS: ByLanguage = QUESTION_PHRASES["synonyms"]
"""Replacements by the word that they replace."""

OPENINGS: ByLanguage = QUESTION_PHRASES["openings"]
CLOSINGS: ByLanguage = QUESTION_PHRASES["closings"]

SURROUNDINGS: ByLanguage = QUESTION_PHRASES["surroundings"]
"""Phrases for the picture: appended to an English question, prepended to a Chinese one."""

CHINESE: dict[str, Any] = QUESTION_PHRASES["chinese"]
"""Variations for Chinese only: final particles, where a filler goes, ASCII punctuation, contractions."""


def augment_question(rng: Rng, question: str, language: str) -> str:
    """Apply each variation to `question` with its own small probability."""
    for word, others in SYNONYMS.items():
        if word in question and rng.random() < 0.15:
            question = re.sub(rf"\b{word}\b" if word.isascii() else word, pick(rng, others), question, count=1)
    if rng.random() < 0.08:
        question = _with_filler(rng, question, language)
    if question[-1] in "?？" and rng.random() < 0.08:
        place = pick(rng, SURROUNDINGS[language])
        question = question[:-1] + place + "?" if language == "en" else place + question
    if rng.random() < 0.06:
        question = pick(rng, OPENINGS[language]) + question
    if rng.random() < 0.05:
        question = question + pick(rng, CLOSINGS[language])
    if rng.random() < 0.2:
        question = question.rstrip("?.？。")
    return _vary_english(rng, question) if language == "en" else _vary_chinese(rng, question)


def _with_filler(rng: Rng, question: str, language: str) -> str:
    """Insert a filler among the first four English words, or before the Chinese verb."""
    filler = pick(rng, FILLERS[language])
    if language == "zh":
        return re.sub(CHINESE["filler_position"], lambda verb: filler + verb[0], question, count=1)
    words = question.split(" ")
    at = int(rng.integers(1, min(len(words), 4) + 1))
    return " ".join([*words[:at], filler, *words[at:]]) if at < len(words) else question


def _vary_english(rng: Rng, question: str) -> str:
    if rng.random() < 0.2:
        question = question.lower()
    if rng.random() < 0.02:
        question = question.upper()
    return question[:1].upper() + question[1:] if rng.random() < 0.8 else question


def _vary_chinese(rng: Rng, question: str) -> str:
    if question.endswith("？") and question[-2:-1] not in CHINESE["final_particles"] and rng.random() < 0.08:
        question = question[:-1] + pick(rng, CHINESE["particles"]) + "？"
    if rng.random() < 0.2:
        question = _replace_all(question, CHINESE["punctuation"])
    if rng.random() < 0.3:
        question = _replace_all(question, CHINESE["contractions"])
    return question


def _replace_all(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text
