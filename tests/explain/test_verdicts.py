"""All four verdicts, of messages whose family alone does not decide them."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.messages import worded
from xcomposer_ui.explain import explain

YES, NO, MAYBE = True, False, None
Verdicts = tuple[bool | None, bool | None, bool | None, bool | None]
NONE_CURES: Verdicts = (NO, NO, NO, NO)

# message, family, dtypes, verdicts on as_is, autocast, unified, full
CASES: list[tuple[str, str, tuple[str, ...], Verdicts]] = [
    # kernels for integers and masks: there is none for float32 either
    ("\"bitwise_and_cpu\" not implemented for 'Half'", "not_implemented_for_dtype", ("float16",), NONE_CURES),
    ("\"bitwise_not_cuda\" not implemented for 'BFloat16'", "not_implemented_for_dtype", ("bfloat16",), NONE_CURES),
    ("\"lshift_cpu\" not implemented for 'Half'", "not_implemented_for_dtype", ("float16",), NONE_CURES),
    ("\"gcd_cpu\" not implemented for 'Double'", "not_implemented_for_dtype", ("float64",), NONE_CURES),
    ("\"bitwise_or_cpu\" not implemented for 'Float'", "not_implemented_for_dtype", ("float32",), NONE_CURES),
    # half kernels: of linear algebra and FFTs on the CPU neither half type has one
    (
        "\"upsample_linear1d\" not implemented for 'Half'",
        "not_implemented_for_half",
        ("float16",),
        (NO, MAYBE, MAYBE, YES),
    ),
    ("\"cholesky_cpu\" not implemented for 'Half'", "not_implemented_for_half", ("float16",), (NO, MAYBE, NO, YES)),
    ("MKL FFT doesn't support tensors of type: Half", "not_implemented_for_half", ("float16",), (NO, MAYBE, NO, YES)),
    (
        "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
        "BFloat16",
        "not_implemented_for_half",
        ("bfloat16",),
        (NO, MAYBE, MAYBE, YES),
    ),
    # the scores of a loss, not its targets
    (
        "\"nll_loss_out_frame\" not implemented for 'Half'",
        "not_implemented_for_half",
        ("float16",),
        (NO, MAYBE, MAYBE, YES),
    ),
    (
        "\"nll_loss2d_forward_out_frame\" not implemented for 'BFloat16'",
        "not_implemented_for_half",
        ("bfloat16",),
        (NO, MAYBE, MAYBE, YES),
    ),
    (
        "\"nll_loss_out_frame\" not implemented for 'Long'",
        "not_implemented_for_dtype",
        ("int64",),
        (NO, NO, MAYBE, MAYBE),
    ),
    # routines for float32: integers are no half type
    (
        "quantile() input tensor must be either float or double dtype",
        "float32_required",
        ("float32", "float64"),
        (NO, MAYBE, NO, MAYBE),
    ),
    ("Quantize only works on Float Tensor, got Long", "float32_required", ("int64",), (NO, NO, NO, MAYBE)),
    ("Quantize only works on Float Tensor, got Half", "float32_required", ("float16",), (NO, MAYBE, NO, YES)),
    ("Quantize only works on Float Tensor, got ComplexFloat", "float32_required", ("complex64",), NONE_CURES),
    # complex numbers
    ("\"max_pool2d\" not implemented for 'ComplexFloat'", "complex_unsupported", ("complex64",), NONE_CURES),
    ("\"lt_cpu\" not implemented for 'ComplexDouble'", "complex_unsupported", ("complex128",), NONE_CURES),
    ("\"dot\" not implemented for 'ComplexHalf'", "not_implemented_for_dtype", ("complex32",), (MAYBE,) * 4),
]


@pytest.mark.parametrize(("message", "family", "dtypes", "verdicts"), CASES, ids=[case[0][:70] for case in CASES])
def test_every_strategy_is_judged(message: str, family: str, dtypes: tuple[str, ...], verdicts: Verdicts) -> None:
    explanation = explain(f"RuntimeError: {message}")
    assert (explanation.family, explanation.dtypes) == (family, dtypes)
    assert tuple(fix.cures for fix in explanation.fixes) == verdicts


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("maximum not implemented for complex tensors.", "A complex tensor reached"),
        ("kl_div: Integral inputs not supported.", "got a dtype that it does not take"),
        ("torch.finfo() requires a floating point input type", "got a dtype that it does not take"),
        (
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
            "a dtype that it does not take",
        ),
        ("mat1 and mat2 must have the same dtype", "two dtypes"),
    ],
)
def test_a_message_that_names_no_dtype_is_not_said_to_have_got_two(message: str, says: str) -> None:
    explanation = explain(f"RuntimeError: {message}")
    assert explanation.dtypes == ()
    assert says in worded(explanation.cause, "en")
    assert ("two dtypes" in worded(explanation.cause, "en")) == ("两种 dtype" in worded(explanation.cause, "zh"))
    assert "（）" not in worded(explanation.cause, "zh")


@pytest.mark.parametrize(
    ("dtype", "word"),
    [("ComplexFloat", "complex"), ("ComplexHalf", "complex64"), ("Float8_e4m3fn", "half type"), ("Float", "mask")],
)
def test_a_missing_kernel_is_put_down_to_the_dtype_that_it_got(dtype: str, word: str) -> None:
    cause = str(explain(f"RuntimeError: \"some_kernel\" not implemented for '{dtype}'").cause)
    assert word in cause
    assert "picture's bytes" not in cause
