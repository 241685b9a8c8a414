"""All four verdicts, of messages whose family alone does not decide them."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.messages import worded
from xcomposer_ui.explain import explain

YES, NO, MAYBE = True, False, None
Verdicts = tuple[bool | None, bool | None, bool | None, bool | None]
OVERFLOW = "overflow_conversion"
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
    ("\"inverse_cuda\" not implemented for 'Half'", "not_implemented_for_half", ("float16",), (NO, MAYBE, NO, YES)),
    ("\"prelu_cpu\" not implemented for 'Half'", "not_implemented_for_half", ("float16",), (NO, MAYBE, MAYBE, YES)),
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
    (
        "Found dtype ComplexFloat but expected Float",
        "backward_dtype_mismatch",
        ("complex64", "float32"),
        (NO, NO, None, None),
    ),
    # quantised tensors
    ("\"max_pool2d\" not implemented for 'QInt8'", "not_implemented_for_dtype", ("qint8",), NONE_CURES),
    # values that do not fit: which half type holds them depends on the value
    ("value cannot be converted to type c10::Half without overflow", OVERFLOW, ("float16",), (MAYBE,) * 3 + (YES,)),
    ("value cannot be converted to type c10::BFloat16 without overflow", OVERFLOW, ("bfloat16",), (NO, NO, NO, YES)),
    ("value cannot be converted to type float without overflow", OVERFLOW, ("float32",), NONE_CURES),
    ("value cannot be converted to type uint8_t without overflow", OVERFLOW, ("uint8",), NONE_CURES),
    # NumPy has float16, and no bfloat16
    ("Got unsupported ScalarType BFloat16", "numpy_bfloat16", ("bfloat16",), (MAYBE,) * 3 + (YES,)),
    ("Got unsupported ScalarType Float8_e4m3fn", "numpy_bfloat16", ("float8_e4m3fn",), (NO, MAYBE, MAYBE, YES)),
    ("Got unsupported ScalarType ComplexHalf", "numpy_bfloat16", ("complex32",), NONE_CURES),
    # writes whose message names no dtype: the values may be integers
    (
        "scatter(): Expected self.dtype to be equal to src.dtype",
        "index_write_dtype_mismatch",
        (),
        (NO, NO, MAYBE, MAYBE),
    ),
    # GradScaler
    (
        "\"_amp_foreach_non_finite_check_and_unscale_cpu\" not implemented for 'Half'",
        "half_gradients",
        ("float16",),
        (NO, NO, NO, YES),
    ),
    (
        "\"_amp_foreach_non_finite_check_and_unscale_cuda\" not implemented for 'BFloat16'",
        "half_gradients",
        ("bfloat16",),
        (MAYBE,) * 3 + (YES,),
    ),
    # casts
    (
        "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int8",
        "dtype_argument",
        ("int8",),
        (MAYBE,) * 4,
    ),
    (
        "Expected theta to have floating point type, but got torch.int64",
        "floating_point_required",
        ("int64",),
        (NO, NO, MAYBE, MAYBE),
    ),
    (
        "Trying to convert Float8_e4m3fn to the MPS backend but it does not have support for that dtype.",
        "float8_arithmetic",
        ("float8_e4m3fn",),
        (NO, MAYBE, YES, YES),
    ),
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


COPIED = "index_copy_(): self and source expected to have the same dtype, but got (self) {} and (source) {}"


@pytest.mark.parametrize(
    ("call", "dtypes", "device", "family", "autocast"),
    [
        ("a.index_copy(0, rows, b)", ("Float", "Half"), "cpu", "index_write_dtype_mismatch", YES),
        ("torch.index_copy(a, 0, rows, b)", ("Float", "BFloat16"), "cpu", "index_write_dtype_mismatch", YES),
        ("a.index_copy(0, rows, b)", ("Float", "Half"), None, "index_write_dtype_mismatch", MAYBE),
        ("a.index_copy(0, rows, b)", ("Half", "Float"), "cpu", "index_write_dtype_mismatch", MAYBE),
        ("a.index_copy(0, rows, b)", ("Float", "Half"), "cuda", "autocast_index_write", NO),
        ("a.index_copy_(0, rows, b)", ("Float", "Half"), "cpu", "autocast_index_write", NO),
        ("a.index_copy(0, rows, b)", ("Long", "Float"), "cpu", "index_write_dtype_mismatch", NO),
    ],
)
def test_autocast_knows_index_copy_without_an_underscore_on_the_cpu(
    call: str, dtypes: tuple[str, str], device: str | None, family: str, autocast: bool | None
) -> None:
    """As tried on the CPU. Autocast in one half type refuses a tensor of the other one."""
    frame = f'Traceback (most recent call last):\n  File "a.py", line 3, in write\n    {call}\n'
    explanation = explain(f"{frame}RuntimeError: {COPIED.format(*dtypes)}", device=device)
    assert explanation.family == family
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is autocast


def test_a_verdict_s_reason_names_the_type_that_met() -> None:
    reasons = " ".join(str(fix.why) for fix in explain("Got unsupported ScalarType Float8_e5m2").fixes)
    assert "With bfloat16" not in reasons
    half, bfloat = (
        str(explain(f"\"_amp_foreach_non_finite_check_and_unscale_cpu\" not implemented for '{name}'").title)
        for name in ("Half", "BFloat16")
    )
    assert half == bfloat
    assert "bfloat16" not in half


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
