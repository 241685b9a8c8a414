"""Verdicts on a clash whose half operand autocast made, as a recorded run shows: autocast is its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xcomposer_ui.core.messages import Message, Text
from xcomposer_ui.core.result import Explanation, Operand
from xcomposer_ui.explain.dtype_names import HALVES

_IT_IS_THE_CAUSE = Text(
    "It is the cause: what it cast to a half type meets float32 where it is off, or has no rule. Cast it there.",
    "它正是原因：被它转换成半精度的张量，在它关闭或没有规则之处遇到了 float32。请在那里转换。",
)
_MADE_BY_NOTHING_ELSE = Text(
    "Without autocast nothing casts the half operand: float32 weights and inputs agree.",
    "没有 autocast，就没有什么会把那个操作数转换成半精度：float32 的权重与输入一致。",
)


def with_recorded_origin(explanation: Explanation, operands: Sequence[Operand]) -> Explanation:
    """`explanation` of a clash of `operands`; its verdicts are others where autocast made the half one of them."""
    halves = [operand for operand in operands if operand.dtype in HALVES]
    others = [operand for operand in operands if operand.dtype not in HALVES]
    made = bool(halves) and all(map(_made_by_autocast, halves))
    if not (explanation.clash and made and {operand.dtype for operand in others} == {"float32"}):
        return explanation
    # Weights that are half elsewhere in the model may clash with a float32 input without autocast.
    as_is = True if any(operand.is_weight for operand in others) else None
    changed = {"as_is": (as_is, _MADE_BY_NOTHING_ELSE), "autocast": (False, _IT_IS_THE_CAUSE)}
    fixes = []
    for fix in explanation.fixes:
        cures, why = changed.get(fix.strategy, (fix.cures, fix.why))
        fixes.append(replace(fix, cures=cures, why=why, code=None if cures is False else fix.code))
    return replace(explanation, fixes=tuple(fixes))


def _made_by_autocast(operand: Operand) -> bool:
    return isinstance(operand.origin, Message) and operand.origin.facts.get("operation") == "autocast"
