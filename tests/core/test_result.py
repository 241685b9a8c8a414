"""Records of a result in words: operands in both languages, and as JSON."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.messages import Message, Sentence, worded
from xcomposer_ui.core.result import PARAMETER, Explanation, Failure, Fix, Operand, failure_as_json, operands_as_json

CAST = {"dtype": "float32", "module": "vit", "operation": "aten._to_copy"}
OPERANDS: list[tuple[Sentence, Message, str, str, str]] = [
    (
        Message("activation.output", module="vit"),
        Message("origin.cast", **CAST),
        "activation (output of vit)",
        "float32 since `vit` (aten._to_copy)",
        "把它转换成了 float32",
    ),
    (
        Message("activation.given"),
        Message("origin.given", dtype="float32"),
        "activation (given to the model)",
        "float32 since it was given to the model",
        "传给模型时",
    ),
    (
        Message("activation.inside", operation="aten.cat", module="model"),
        Message("origin.computed", dtype="float16", module="model", operation="aten.cat"),
        "activation (aten.cat in model)",
        "float16 since `model` (aten.cat)",
        "`model` 计算得到，为 float16",
    ),
    (
        Message("activation.outside", operation="aten.rand"),
        Message("origin.outside", dtype="float32", operation="aten.rand"),
        "activation (aten.rand)",
        "float32 since aten.rand, outside the model's modules",
        "模块之外由 aten.rand 得到",
    ),
    (
        Message("activation.cast_weight", name="proj.weight"),
        Message("origin.cast", dtype="float16", module="proj", operation="autocast"),
        "proj.weight (cast)",
        "float16 since `proj` (autocast)",
        "`proj` 把它转换成了 float16",
    ),
    ("proj.weight", PARAMETER, "proj.weight", "parameter", "模型参数"),
    ("steps", Message("origin.buffer"), "steps", "buffer", "缓冲区"),
]


@pytest.mark.parametrize(("name", "origin", "english_name", "english_origin", "chinese"), OPERANDS)
def test_an_operand_has_words_in_both_languages(
    name: Sentence, origin: Message, english_name: str, english_origin: str, chinese: str
) -> None:
    operand = Operand(name, "float32", origin, (1, 2))
    (record,) = operands_as_json([operand])
    assert record == {"name": english_name, "dtype": "float32", "origin": english_origin, "shape": [1, 2]}
    assert worded(operand.name, "en") == english_name
    assert english_origin.split()[0] in worded(operand.origin, "en")
    assert chinese in worded(operand.origin, "zh")
    assert "activation" not in worded(operand.name, "zh") and "since" not in worded(operand.origin, "zh")
    assert operand.is_weight == (english_origin in ("parameter", "buffer"))


def test_what_has_no_words_stays() -> None:
    operand = Operand("x", "float32", "from somewhere", ())
    assert (worded(operand.name, "zh"), worded(operand.origin, "zh")) == ("x", "from somewhere")
    assert operand.recorded_origin == "from somewhere" and not operand.is_weight


def test_a_failure_is_english_in_json_and_any_language_on_the_page() -> None:
    message = Message("silent.empty")
    fix = Fix("as_is", False, Message("explain.not_known"), tried=True, failed_with=message)
    explanation = Explanation(True, "empty_answer", Message("explain.unknown"), "cause", fixes=(fix,))
    failure = Failure("EmptyAnswer", message, None, None, (), explanation, "")
    record = failure_as_json(failure)
    assert record is not None
    assert record["message"] == record["explanation"]["fixes"][0]["failed_with"] == str(message)
    assert record["explanation"]["title"] == "This error is not in the table"
    assert failure.line("zh") == f"EmptyAnswer: {message.in_language('zh')}"
