"""Word lists and sentence templates in English and Chinese, loaded from the JSON files in `data/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"

ByLanguage = dict[str, tuple[str, ...]]
"""Phrases by language ("en", "zh")."""

Wordings = dict[str, ByLanguage]
"""Question templates by kind of question, then by language."""


def load_data(name: str) -> Any:
    """Load `data/NAME.json`, with JSON arrays as tuples.

    The order of every list matters: random choices are indices into it, so reordering one changes what a seed gives.
    """
    return _as_tuples(json.loads((DATA / f"{name}.json").read_text("utf-8")))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(member) for key, member in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


QUESTION_WORDINGS: Wordings = load_data("question_wordings")
"""Training's question templates. Their slots:

{a}, {b}: the things asked about, with the article where English needs one ("the red circle", "圆形").
{some}: the same, indefinite ("a red circle"). {many}: plural ("red circles"). {colour}: a colour's name.
{side}: a spatial relation ("left of", "above").
"""

HELD_OUT_WORDINGS: Wordings = load_data("held_out_wordings")
"""Question templates for the evaluation only, with the same slots."""

HELD_OUT_SMALL_TALK: ByLanguage = load_data("held_out_small_talk")
"""Off-topic questions for the evaluation only."""

QUESTION_PHRASES: dict[str, Any] = load_data("question_phrases")
"""Parts of questions: names for a shape of any kind, sides, and the variations that `augmentation` makes."""

ANY_SHAPE: ByLanguage = QUESTION_PHRASES["any_shape"]
"""Nouns for a shape of any kind. A repeated entry is chosen more often."""

SIDES = ("left", "right", "above", "below")

SIDE_PHRASES: Wordings = QUESTION_PHRASES["sides"]
"""Ways to name each of SIDES in a question. A repeated entry is chosen more often."""

ANSWERS: dict[str, Any] = load_data("answers")
"""Sentence templates of the answers, and the words for numbers, sides and places in them."""

SENTENCES: dict[str, dict[str, str]] = ANSWERS["sentences"]
"""Answer templates by name, then by language."""

REFUSAL = SENTENCES["refusal"]
NO_SHAPES = SENTENCES["no_shapes"]
NO_PICTURE = SENTENCES["no_picture"]
