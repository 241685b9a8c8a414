"""Spellings of dtypes in PyTorch, C++, NumPy and compilers, mapped to torch's own spelling."""

from __future__ import annotations

import re
from functools import cache

from xcomposer_ui.core.strategies import HALF_DTYPES

# ScalarType names, as in "Half", c10::Half, torch.cuda.HalfTensor, CUDAHalfType and MPSHalfType.
SCALAR_TYPES: dict[str, str] = {
    **{
        name: name.lower()
        for name in (
            "Float8_e4m3fnuz Float8_e5m2fnuz Float8_e8m0fnu Float8_e4m3fn Float8_e5m2 BFloat16 Bfloat16 UInt16 UInt32 "
            "UInt64 QUInt8 QInt32 QInt8 Bool"
        ).split()
    },
    **{"Double": "float64", "Float": "float32", "Half": "float16"},
    **{"Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8"},
    **{"ComplexDouble": "complex128", "ComplexFloat": "complex64", "ComplexHalf": "complex32"},
}

# C++ type names as compilers print them: GCC's "long int", MSVC's "__int64".
CPP_TYPES: dict[str, str] = {
    "unsigned long long": "uint64",
    "unsigned long": "uint64",
    "unsigned short": "uint16",
    "unsigned char": "uint8",
    "unsigned int": "uint32",
    "signed char": "int8",
    "long long int": "int64",
    "long long": "int64",
    "long int": "int64",
    "short int": "int16",
    "__int64": "int64",
    **{f"{name}_t": name for name in ("uint8", "int8", "int16", "int32", "int64")},
    "double": "float64",
    "float": "float32",
    "short": "int16",
    "long": "int64",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
    "half": "float16",
    "int": "int32",
}

COMPLEX = {"float": "complex64", "double": "complex128", "Half": "complex32"}

# torch.float16 and numpy's names, the short names of kernels and compilers, and array-interface codes ("<f4").
NAMES: dict[str, str] = {
    name: name
    for name in (
        "float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float8_e4m3fn float8_e5m2 bfloat16 float16 float32 float64 "
        "complex128 complex64 complex32 uint8 uint16 uint32 uint64 int8 int16 int32 int64"
    ).split()
}
SHORT_NAMES: dict[str, str] = {
    "bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64",
    "f16": "float16", "f32": "float32", "f64": "float64", "cfloat": "complex64", "cdouble": "complex128",
    "si64": "int64", "si32": "int32", "i64": "int64", "i32": "int32",
}  # fmt: skip
ARRAY_CODES = {"f2": "float16", "f4": "float32", "f8": "float64", "i4": "int32", "i8": "int64", "u1": "uint8"}

INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"})
HALVES = frozenset(HALF_DTYPES)
EIGHT_BITS = frozenset(name for name in NAMES if name.startswith("float8"))


def _alternatives(names: dict[str, str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


@cache
def _spelling() -> re.Pattern[str]:
    scalar = _alternatives(SCALAR_TYPES)
    lower = _alternatives({**CPP_TYPES, **NAMES})
    return re.compile(
        rf"(?:c10|std)::complex<\s*(?:c10::)?(?P<complex>float|double|Half)\s*>"
        rf"|(?<![A-Za-z0-9_])(?:torch\.(?:\w+\.)?)?(?P<tensor>{scalar})Tensor(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:CPU|CUDA|HIP|MPS|XPU|XLA|Meta|PrivateUse1)(?P<backend>{scalar})(?:Type|Tensor)\b"
        rf"|(?<![A-Za-z0-9_])(?:(?:struct|class)\s+)?(?:(?:c10|at)::k?)?(?P<scalar>{scalar})(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:torch\.)?(?P<lower>{lower})(?![A-Za-z0-9_])"
        rf"|(?<![A-Za-z0-9_])(?:tensor<[\d*?x]*x)?(?i:(?P<short>{_alternatives(SHORT_NAMES)}))(?![A-Za-z0-9_])"
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
    kind, name = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "complex":
        return COMPLEX[name]
    if kind in ("tensor", "backend", "scalar"):
        return SCALAR_TYPES[name]
    if kind == "short":
        return SHORT_NAMES[name.lower()]
    if kind == "code":
        return ARRAY_CODES[name]
    return CPP_TYPES.get(name) or NAMES[name]
