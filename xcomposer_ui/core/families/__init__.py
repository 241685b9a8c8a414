"""Registry of facts about model families that need no framework: tokens, published sizes, counting of memory.

`models.base.Family` has the part that needs torch and holds one of these records; further families are registered
there. The built-in ones are listed here, so that the page knows them before torch is loaded.
"""

from __future__ import annotations

from xcomposer_ui.core.families import xcomposer2
from xcomposer_ui.core.families.facts import FamilyFacts

_FAMILIES: list[FamilyFacts] = [xcomposer2.FACTS]


def families() -> tuple[FamilyFacts, ...]:
    return tuple(_FAMILIES)


def register(facts: FamilyFacts) -> None:
    """Add a family; does nothing where it is registered already."""
    if facts not in _FAMILIES:
        _FAMILIES.append(facts)


def unregister(facts: FamilyFacts) -> None:
    """Remove a registered family. Raises ValueError where it is not registered."""
    _FAMILIES.remove(facts)


def family_of(model_type: object) -> FamilyFacts | None:
    """The family whose config.json files have `model_type`; None for an unknown one."""
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
