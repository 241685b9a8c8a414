"""Operands in words, in both languages."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.result import Operand
from xcomposer_ui.explain.operands import operand_name, operand_origin

WORDS = [
    ("activation (output of vit)", "float32 since `vit` (aten._to_copy)", "由它转换"),
    ("activation (given to the model)", "float32 since it was given to the model", "传给模型时"),
    ("activation (aten.cat in model)", "float16 since `model` (aten.cat)", "自 `model` 起"),
    ("activation (aten.rand)", "float32 since aten.rand, outside the model's modules", "模块之外的 aten.rand"),
    ("proj.weight (cast)", "float16 since `proj` (autocast)", "自 `proj` 起为 float16"),
    ("proj.weight", "parameter", "模型参数"),
]


@pytest.mark.parametrize(("name", "origin", "chinese"), WORDS)
def test_each_has_words_in_both_languages(name: str, origin: str, chinese: str) -> None:
    operand = Operand(name, "float32", origin, (1, 2))
    assert operand_name(operand, "en") == name
    assert operand.origin.split()[0] in operand_origin(operand, "en")
    assert chinese in operand_origin(operand, "zh")
    assert "activation" not in operand_name(operand, "zh") and "since" not in operand_origin(operand, "zh")


def test_what_has_no_words_stays() -> None:
    operand = Operand("x", "float32", "from somewhere", ())
    assert (operand_name(operand, "zh"), operand_origin(operand, "zh")) == ("x", "from somewhere")
