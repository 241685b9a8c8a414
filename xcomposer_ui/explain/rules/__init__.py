"""The table of rules, in the order in which they are tried; the first that matches gives the explanation.

The lab's own messages come first, because they may quote an answer, and an answer may contain the text of any error.
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
