"""Rules for linear algebra, quantiles and complex numbers, which have few half kernels or none."""

from __future__ import annotations

import re

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import DTYPES
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.rules.operands import OPERANDS
from xcomposer_ui.explain.verdicts import (
    AS_IS,
    FLOAT32_AND_FLOAT64,
    IF_BOTH_FLOATS,
    clash,
    clash_partly_listed,
    verdicts,
    where_cured,
)

_LINALG = Text(
    "It runs most of these in float32 on the CPU; on CUDA it does not know them.",
    "在 CPU 上它以 float32 计算其中多数；在 CUDA 上它没有相应规则。",
)


def _linalg(facts: Facts) -> Verdicts:
    # solve raises solve_ex's message, and cholesky_solve ldl_solve's; autocast casts the first of each pair.
    known = not re.search("lu_solve|Expected b and A", facts.message) and "linalg.solve" not in facts.message
    cures = {"cpu": True if known else None, "cuda": False}.get(facts.device or "")
    found = where_cured(clash(facts), "autocast", cures, _LINALG)
    return where_cured(found, "unified", False, FLOAT32_AND_FLOAT64)


_QUANTILE_ON_CPU = Text(
    "On the CPU it computes torch.quantile in float32, which cures a half `q` or input and no float64 one; on CUDA it "
    "has no rule.",
    "在 CPU 上它以 float32 计算 torch.quantile，可解决半精度的 `q` 或输入，但不能解决 float64；在 CUDA 上没有规则。",
)
QUANTILE = Rule(
    family="operand_dtype_mismatch",
    title=OPERANDS.title,
    cause=Text(
        "torch.quantile's `q` has another dtype than its input; both must have one dtype, float32 or float64. Give `q` "
        "as numbers, or cast it.",
        "torch.quantile 的 `q` 与输入的 dtype 不同；两者须为同一种 dtype，即 float32 或 float64。"
        "请以数值给出 `q`，或转换它。",
    ),
    verdicts=lambda facts: {
        **verdicts((False, AS_IS), (None, _QUANTILE_ON_CPU), (False, FLOAT32_AND_FLOAT64), (None, IF_BOTH_FLOATS)),
        **({"autocast": (False, _QUANTILE_ON_CPU)} if facts.device == "cuda" else {}),
    },
    whole=(r"quantile\(\) q tensor must be same dtype as the input tensor",),
    references=(DTYPES,),
)

_COMPLEX_OF_HALVES = Text(
    "Of two float16 tensors torch.complex makes a complex number; of two bfloat16 ones it does not, nor does "
    "torch.polar of either.",
    "torch.complex 可由两个 float16 张量构成复数，两个 bfloat16 则不行；torch.polar 两者都不行。",
)


_POLAR = Text(
    "On the CPU it computes torch.polar in float32; torch.complex, which speaks in the same words, it leaves alone.",
    "在 CPU 上它以 float32 计算 torch.polar；报同样错误的 torch.complex 它不处理。",
)


def _complex(facts: Facts) -> Verdicts:
    return where_cured(clash_partly_listed(facts, _POLAR), "unified", None, _COMPLEX_OF_HALVES)


MADE_COMPLEX = Rule(
    family="operand_dtype_mismatch",
    title=Text("A complex number's two parts have two dtypes", "复数的两部分 dtype 不同"),
    cause=Text(
        "torch.complex and torch.polar got {dtypes}; both parts must have one dtype, and not bfloat16.",
        "torch.complex 或 torch.polar 收到了 {dtypes}；两部分须为同一种 dtype，且不能是 bfloat16。",
    ),
    verdicts=_complex,
    patterns=(
        rf"Expected object of scalar type {DTYPE} but got scalar type {DTYPE} for second argument",
        rf"Expected both inputs to be Half, Float or Double tensors but got {DTYPE} and {DTYPE}",
    ),
    applies=lambda facts: len(facts.dtypes) != 1,
    references=(DTYPES,),
)

LINALG = Rule(
    family="linalg_dtype_mismatch",
    title=Text("A linear-algebra routine was given two dtypes", "线性代数例程收到了两种 dtype"),
    cause=Text(
        "A solver or a factorisation got {dtypes}; all of its matrices must have one dtype, float32 or float64.",
        "求解或分解例程收到了 {dtypes}；它的各个矩阵须为同一种 dtype，即 float32 或 float64。",
    ),
    verdicts=_linalg,
    patterns=(
        rf"Expected (?:A|b|LU) and [AB] to have the same dtype, but found \w+ of type {DTYPE} and \w+ of type {DTYPE}",
        rf"Expected input and other to have the same dtype, but got input's dtype {DTYPE} and other's dtype {DTYPE}",
        r"Expected input and \w+ to have the same dtype, but input has dtype ?(\w+) and \w+ has dtype (\w+)",
        rf"tau dtype {DTYPE} does not match input dtype {DTYPE}",
    ),
    references=(DTYPES,),
)

RULES = (MADE_COMPLEX, LINALG, QUANTILE)
