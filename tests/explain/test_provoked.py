"""Every family that the CPU can raise, raised for real: a release that rewords a message fails here loudly."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.explain.provocations import BY_PROCESSOR, PROVOCATIONS, WITH_ONEDNN, WITHOUT_ONEDNN
from xcomposer_ui.core.result import Explanation
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.rules import RULES

CASES = [
    pytest.param(family, call, dtypes, id=f"{family}: {name}")
    for family, provocations in PROVOCATIONS.items()
    for name, (call, dtypes) in provocations.items()
]


def raised_by(call: Callable[[], Any]) -> str | None:
    """The error's last line as Python prints it, or None where the call answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return None


def explained(call: Callable[[], Any]) -> Explanation:
    text = raised_by(call)
    assert text is not None, "this operation no longer raises"
    return explain(text)


OLDER = {
    "vector_product_dtype_mismatch": r"expected scalar type \w+ but found \w+",
    "target_dtype": r"expected scalar type \w+ but found \w+",
    "rnn_dtype_mismatch": "input must have the type",
}
"""Family -> PyTorch 2.8's words for it: they name no operation, or the dtypes in another order, or one more."""


@pytest.mark.parametrize(("family", "call", "dtypes"), CASES)
def test_is_recognised_with_its_dtypes(family: str, call: Callable[[], Any], dtypes: tuple[str, ...]) -> None:
    text = raised_by(call)
    assert text is not None, "this operation no longer raises"
    explanation = explain(text)
    if family in OLDER and re.search(OLDER[family], text):
        assert explanation.family in (family, "operand_dtype_mismatch")
        assert set(explanation.dtypes) >= set(dtypes)
    else:
        assert explanation.family == family
        assert explanation.dtypes == dtypes


@pytest.mark.parametrize(("call", "dtypes"), BY_PROCESSOR.values(), ids=BY_PROCESSOR.keys())
def test_a_wording_that_depends_on_the_processor_is_recognised_with_its_dtypes(
    call: Callable[[], Any], dtypes: tuple[str, ...]
) -> None:
    """The words without oneDNN's kernels name no operation, so that the message alone tells no convolution."""
    families = {WITH_ONEDNN: "conv_dtype_mismatch", WITHOUT_ONEDNN: "operand_dtype_mismatch"}
    text = raised_by(call)
    assert text is not None
    (family,) = [family for wording, family in families.items() if wording in text]
    explanation = explain(text)
    assert (explanation.family, explanation.dtypes) == (family, dtypes)


CONVOLUTIONS = {
    **{name: call for name, (call, _) in BY_PROCESSOR.items()},
    **{name: call for name, (call, _) in PROVOCATIONS["conv_dtype_mismatch"].items()},
    **{name: call for name, (call, _) in PROVOCATIONS["operand_dtype_mismatch"].items() if name.startswith("conv")},
}


@pytest.mark.parametrize("call", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_with_its_traceback_every_convolution_is_one_on_every_processor(call: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError) as caught:
        call()
    pasted = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert explain(pasted).family == "conv_dtype_mismatch"


def test_every_provoked_family_is_in_the_table() -> None:
    assert set(PROVOCATIONS) <= {rule.family for rule in RULES}


# What autocast does, tried: each clash again under torch.autocast on the CPU, in both half types.
CLASHES = (
    *("matmul_dtype_mismatch", "vector_product_dtype_mismatch", "bilinear_dtype_mismatch", "conv_dtype_mismatch"),
    *("operand_dtype_mismatch", "linalg_dtype_mismatch", "norm_dtype_mismatch", "attention_dtype_mismatch"),
    *("attention_mask_dtype", "index_write_dtype_mismatch", "index_dtype", "mask_dtype", "target_dtype"),
    *("overflow_conversion", "numpy_bfloat16", "result_dtype", "floating_point_required", "sampling_not_finite"),
)
TRIED = [
    pytest.param(call, id=f"{family}: {name}")
    for family in CLASHES
    for name, (call, _) in PROVOCATIONS[family].items()
    if f"{family}: {name}" != "operand_dtype_mismatch: cross"  # speaks as matrix products do, which are cast
] + [pytest.param(call, id=f"by processor: {name}") for name, (call, _) in BY_PROCESSOR.items()]


@pytest.mark.parametrize("call", TRIED)
def test_autocast_does_what_the_verdict_says(call: Callable[[], Any]) -> None:
    """Of the message alone, and of its traceback, whose source lines name operations."""
    with pytest.raises(Exception) as caught:
        call()
    outcomes = set()
    for half in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", half):
            outcomes.add(raised_by(call) is None)
    pasted = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    for text in (f"{caught.typename}: {caught.value}", pasted):
        verdict = {fix.strategy: fix.cures for fix in explain(text, device="cpu").fixes}["autocast"]
        assert verdict is None or outcomes == {verdict}


WITHOUT_HALF_KERNELS: dict[str, Callable[[torch.dtype], Any]] = {
    "solve": lambda dtype: torch.linalg.solve(torch.eye(2), torch.ones(2, 2, dtype=dtype)),
    "lstsq": lambda dtype: torch.linalg.lstsq(torch.eye(2), torch.ones(2, 2, dtype=dtype)),
    "cholesky_solve": lambda dtype: torch.cholesky_solve(torch.ones(2, 2, dtype=dtype), torch.eye(2)),
    "ormqr": lambda dtype: torch.ormqr(torch.ones(2, 2), torch.ones(2, dtype=dtype), torch.ones(2, 2)),
    "cdist": lambda dtype: _distances(torch.ones(2, 2), torch.ones(2, 2, dtype=dtype)),
    "quantile": lambda dtype: torch.quantile(torch.ones(2), torch.ones(1, dtype=dtype)),
}


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.cdist(a, b)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("call", WITHOUT_HALF_KERNELS.values(), ids=WITHOUT_HALF_KERNELS.keys())
def test_one_half_type_is_no_cure_where_the_operation_has_no_half_kernel(
    call: Callable[[torch.dtype], Any], half: torch.dtype
) -> None:
    with pytest.raises(RuntimeError) as caught:
        call(half)
    pasted = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    cures = {fix.strategy: fix.cures for fix in explain(pasted, device="cpu").fixes}
    assert (cures["as_is"], cures["unified"]) == (False, False)
    assert cures["autocast"] is not False
    assert raised_by(lambda: call(torch.float32)) is None
    with torch.autocast("cpu", half):
        assert raised_by(lambda: call(half)) is None


@pytest.mark.parametrize("operation", [torch.complex, torch.polar])
def test_one_half_type_may_cure_two_parts_of_a_complex_number(operation: Callable[..., Any]) -> None:
    text = raised_by(lambda: operation(torch.ones(2), torch.ones(2, dtype=torch.float16)))
    assert {fix.strategy: fix.cures for fix in explain(str(text)).fixes}["unified"] is None
