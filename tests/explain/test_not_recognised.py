"""What the table must not claim to know."""

from __future__ import annotations

import pytest

from xcomposer_ui.explain import explain

NEAR_MISSES = [
    "",
    "   \n\t",
    "KeyError: 'type'",
    "KeyError: 'dtype'",
    "ZeroDivisionError: division by zero",
    "RuntimeError",
    "NotImplementedError",
    "NotImplementedError: Half a sandwich is not implemented",
    "hello, my model is slow",
    "My float16 model and the float32 picture do not have the same dtype. What shall I do?",
    "In PyTorch mat1 and mat2 must have the same dtype, so cast one of them first.",
    "We use Half and Float and BFloat16 here, and torch.float16 there.",
    "The expected scalar type of this column is Float but someone found Half a value.",
    "int float long double half",
    "I ran out of memory yesterday, and my GPU was full",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 3",
    "RuntimeError: The size of tensor a (1377) must match the size of tensor b (1376) at non-singleton dimension 1",
    "RuntimeError: CUDA error: device-side assert triggered",
    "RuntimeError: shape '[1, 2]' is invalid for input of size 3",
    "AttributeError: 'NoneType' object has no attribute 'shape'",
    "AttributeError: 'Foo' object has no attribute 'generate'",
    "ModuleNotFoundError: No module named 'pandas'",
    "TypeError: forward() got an unexpected keyword argument 'dtype'",
    "ValueError: too many values to unpack (expected 2)",
    "IndexError: list index out of range",
    "IndexError: index out of range in self",
    "OSError: [Errno 28] No space left on device",
    "RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
    "assert model.dtype == torch.float16",
    "TypeError: expected type float but got int",
    "NotImplementedError: to_half is not implemented for type Model",
    "save_video is not implemented for Windows",
    "'type'",
    "我的模型是 float16，图片是 float32，怎么办？",
]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_not_recognised(text: str) -> None:
    explanation = explain(text)
    assert not explanation.recognised
    assert (explanation.family, explanation.dtypes, explanation.fixes) == (None, (), ())
    assert "traceback" in explanation.cause


def test_a_message_in_a_source_line_is_not_the_error() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/home/me/a.py", line 3, in check\n'
        "    assert message == 'mat1 and mat2 must have the same dtype, but got Float and Half'\n"
        "ZeroDivisionError: division by zero\n"
    )
    explanation = explain(text)
    assert not explanation.recognised
    assert explanation.where is not None
    assert "me/a.py, line 3, in check" in explanation.where


def test_an_earlier_unrelated_traceback_is_not_the_error() -> None:
    first = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\n'
    text = (
        f"{first}RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half\n\nfixed that, then:\n\n"
        f"{first}ZeroDivisionError: division by zero"
    )
    assert not explain(text).recognised
