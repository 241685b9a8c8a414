"""A failed operation's operands in words of either language; records carry them in English."""

from __future__ import annotations

import re

from xcomposer_ui.core.result import Operand
from xcomposer_ui.explain.rule import Text

Wording = tuple[str, Text]

_NAMES: tuple[Wording, ...] = (
    (r"activation \(output of (.+)\)", Text("activation (output of {0})", "激活值（{0} 的输出）")),
    (r"activation \(given to the model\)", Text("activation (given to the model)", "激活值（传给模型的输入）")),
    (r"activation \((\S+) in (.+)\)", Text("activation ({0} in {1})", "激活值（{1} 中的 {0}）")),
    (r"activation \((.+)\)", Text("activation ({0})", "激活值（{0}）")),
    (r"(.+) \(cast\)", Text("{0} (cast)", "{0}（已转换）")),
)
_ORIGINS: tuple[Wording, ...] = (
    (r"parameter", Text("it is a parameter", "模型参数")),
    (r"buffer", Text("it is a buffer", "模型的缓冲区")),
    (r"(\w+) since it was given to the model", Text("{0} since it was given to the model", "传给模型时即为 {0}")),
    (
        r"(\w+) since `(.+)` \((aten\._to_copy|autocast)\)",
        Text("{0} since `{1}`, which casts it ({2})", "自 `{1}` 起为 {0}，由它转换（{2}）"),
    ),
    (r"(\w+) since `(.+)` \((.+)\)", Text("{0} since `{1}` ({2})", "自 `{1}` 起为 {0}（{2}）")),
    (
        r"(\w+) since (\S+), outside the model's modules",
        Text("{0} since {1}, outside the model's modules", "自模型的模块之外的 {1} 起为 {0}"),
    ),
)


def operand_name(operand: Operand, language: str) -> str:
    """A parameter by its name, an activation by what made it."""
    return _worded(operand.name, _NAMES, language)


def operand_origin(operand: Operand, language: str) -> str:
    """Where the operand has its dtype from."""
    return _worded(operand.origin, _ORIGINS, language)


def _worded(said: str, wordings: tuple[Wording, ...], language: str) -> str:
    for pattern, text in wordings:
        if match := re.fullmatch(pattern, said):
            return text.in_language(language).format(*match.groups())
    return said
