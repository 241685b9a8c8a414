"""Spellings of dtypes in PyTorch, C++, NumPy and compilers, mapped to torch's own spelling."""

from __future__ import annotations

import re
from functools import cache

from xcomposer_ui.core.strategies import HALF_DTYPES

# torch's name -> ScalarType's name, C++ types as compilers print them (GCC's "long int", MSVC's "__int64"), the short
# names of kernels and compilers, array-interface codes.
_SPELLINGS = {
    "float64": ("Double", "double", "fp64, f64", "f8"),
    "float32": ("Float", "float", "fp32, f32", "f4"),
    "float16": ("Half", "half", "fp16, f16", "f2"),
    "bfloat16": ("BFloat16, Bfloat16", "", "bf16", ""),
    "float8_e4m3fnuz": ("Float8_e4m3fnuz", "", "", ""),
    "float8_e5m2fnuz": ("Float8_e5m2fnuz", "", "", ""),
    "float8_e8m0fnu": ("Float8_e8m0fnu", "", "", ""),
    "float8_e4m3fn": ("Float8_e4m3fn", "", "", ""),
    "float8_e5m2": ("Float8_e5m2", "", "", ""),
    "complex128": ("ComplexDouble", "", "cdouble", ""),
    "complex64": ("ComplexFloat", "", "cfloat", ""),
    "complex32": ("ComplexHalf", "", "", ""),
    "int64": ("Long", "long long int, long long, long int, long, int64_t, __int64", "si64, i64", "i8"),
    "int32": ("Int", "int, int32_t", "si32, i32", "i4"),
    "int16": ("Short", "short int, short, int16_t", "", ""),
    "int8": ("Char", "signed char, char, int8_t", "", ""),
    "uint64": ("UInt64", "unsigned long long, unsigned long", "", ""),
    "uint32": ("UInt32", "unsigned int", "", ""),
    "uint16": ("UInt16", "unsigned short", "", ""),
    "uint8": ("Byte", "unsigned char, byte, uint8_t", "", "u1"),
    "bool": ("Bool", "bool", "", ""),
    "quint8": ("QUInt8", "", "", ""),
    "qint32": ("QInt32", "", "", ""),
    "qint8": ("QInt8", "", "", ""),
}


def _column(number: int) -> dict[str, str]:
    """Spelling -> dtype, of one column of the table."""
    return {name: dtype for dtype, row in _SPELLINGS.items() for name in row[number].split(", ") if name}


SCALAR_TYPES = _column(0)  # as in "Half", c10::Half, torch.cuda.HalfTensor, CUDAHalfType and MPSHalfType
ARRAY_CODES = _column(3)  # as in "<f4"
# The table by the groups of `_spelling`; "lower" has torch.float16 and numpy's names too.
_BY_GROUP = {
    "complex": {"float": "complex64", "double": "complex128", "Half": "complex32"},
    **dict.fromkeys(("tensor", "backend", "scalar"), SCALAR_TYPES),
    "lower": _column(1) | {name: name for name in _SPELLINGS if not name.startswith("q")},
    "short": _column(2),
    "code": ARRAY_CODES,
}

INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"})
HALVES = frozenset(HALF_DTYPES)
EIGHT_BITS = frozenset(name for name in _SPELLINGS if name.startswith("float8"))


def _alternatives(names: dict[str, str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


@cache
def _spelling() -> re.Pattern[str]:
    scalar, lower, short = (_alternatives(_BY_GROUP[group]) for group in ("scalar", "lower", "short"))
    return re.compile(
        rf"(?:c10|std)::complex<\s*(?:c10::)?(?P<complex>float|double|Half)\s*>"
        rf"|(?<![A-Za-z0-9_])(?:torch\.(?:\w+\.)?)?(?P<tensor>{scalar})Tensor(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:CPU|CUDA|HIP|MPS|XPU|XLA|Meta|PrivateUse1)(?P<backend>{scalar})(?:Type|Tensor)\b"
        rf"|(?<![A-Za-z0-9_])(?:(?:struct|class)\s+)?(?:(?:c10|at)::k?)?(?P<scalar>{scalar})(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:torch\.)?(?P<lower>{lower})(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:tensor<[\d*?x]*x)?(?i:(?P<short>{short}))(?![A-Za-z0-9_])"
        rf"|[<|](?P<code>{_alternatives(ARRAY_CODES)})(?![A-Za-z0-9_])"
    )


def dtypes_in(text: str) -> tuple[str, ...]:
    """The dtypes that `text` names, in torch's spelling, in order of first appearance, without repeats.

    Lower-case C++ names are English words too ("long", "half"), so pass the part that names dtypes, not prose.
    """
    return tuple(dict.fromkeys(map(_torch_spelling, _spelling().finditer(text))))


def completed(name: str) -> str | None:
    """The dtype whose ScalarType name begins with `name`, as in a message that is cut: "Ha". None if several do."""
    begun = name.rstrip(".").rpartition("::")[2]
    found = {dtype for whole, dtype in SCALAR_TYPES.items() if begun and whole.startswith(begun)}
    return found.pop() if len(found) == 1 else None


def _torch_spelling(match: re.Match[str]) -> str:
    group = str(match.lastgroup)
    name = match[group]
    return _BY_GROUP[group][name.lower() if group == "short" else name]
