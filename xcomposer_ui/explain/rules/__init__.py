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
    convolutions,
    formats,
    indexing,
    kernels,
    libraries,
    linear_algebra,
    machines,
    norms,
    operands,
    products,
    silent_failures,
)

_MODULES = (
    silent_failures, libraries, products, convolutions, attention, norms, indexing, formats, operands,
    linear_algebra, autocast, conversions, kernels, machines, checkpoints,
)  # fmt: skip

RULES: tuple[Rule, ...] = tuple(rule for module in _MODULES for rule in module.RULES)
