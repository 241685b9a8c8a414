"""The table of rules, in the order in which they are tried: the first that matches speaks.

The lab's own words come first: they may quote an answer, and an answer may hold any error's words.
"""

from __future__ import annotations

from xcomposer_ui.explain.rule import Rule
from xcomposer_ui.explain.rules import (
    attention,
    autocast,
    checkpoints,
    conversions,
    formats,
    indexing,
    kernels,
    libraries,
    machines,
    norms,
    operands,
    products,
    silent_failures,
)

RULES: tuple[Rule, ...] = (
    *silent_failures.RULES,
    *libraries.RULES,
    *products.RULES,
    *attention.RULES,
    *norms.RULES,
    *indexing.RULES,
    *formats.RULES,
    *operands.RULES,
    *autocast.RULES,
    *conversions.RULES,
    *kernels.RULES,
    *machines.RULES,
    *checkpoints.RULES,
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(rule.family for rule in RULES))
