"""What is known of each model family without a framework: its tokens, its published sizes, how its memory is counted.

The half that needs torch is `models.base.Family`, which holds one of these records. Register a further family there;
the built-in ones are listed here, so that the page knows them before any framework is loaded.
"""

from __future__ import annotations

from xcomposer_ui.core.families import xcomposer2
from xcomposer_ui.core.families.facts import FamilyFacts

_FAMILIES: list[FamilyFacts] = [xcomposer2.FACTS]


def families() -> tuple[FamilyFacts, ...]:
    """All families that are registered."""
    return tuple(_FAMILIES)


def register(facts: FamilyFacts) -> None:
    """Add a family, once."""
    if facts not in _FAMILIES:
        _FAMILIES.append(facts)


def unregister(facts: FamilyFacts) -> None:
    """Remove a family that was added."""
    _FAMILIES.remove(facts)


def family_of(model_type: object) -> FamilyFacts | None:
    """The family whose config.json says `model_type`; None for one that the lab does not have."""
    return next((facts for facts in _FAMILIES if model_type in facts.model_types), None)


def publisher_of(name: str) -> FamilyFacts | None:
    """The family that the published checkpoint `name`, a hub id, belongs to; None for any other name."""
    return next((facts for facts in _FAMILIES if name in facts.published), None)


def published_names() -> tuple[str, ...]:
    """The hub ids of all published checkpoints."""
    return tuple(name for facts in _FAMILIES for name in facts.published)


def control_tokens() -> tuple[str, ...]:
    """The control tokens of all families, without repeats."""
    return tuple(dict.fromkeys(token for facts in _FAMILIES for token in facts.control_tokens))


def image_marks() -> tuple[str, ...]:
    """The marks that stand for a picture, of all families, without repeats."""
    return tuple(dict.fromkeys(facts.image_mark for facts in _FAMILIES if facts.image_mark))
