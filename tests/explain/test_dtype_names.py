from __future__ import annotations

import pytest

from xcomposer_ui.explain.dtype_names import dtypes_in

SPELLINGS = {
    "Float and Half": ("float32", "float16"),
    "float != c10::BFloat16": ("float32", "bfloat16"),
    "struct c10::Half, class c10::Half": ("float16",),
    "torch.cuda.HalfTensor, torch.FloatTensor": ("float16", "float32"),
    "CPUBFloat16Type, CUDAHalfType, MPSFloatType, CUDAFloatTensor": ("bfloat16", "float16", "float32"),
    "long int, unsigned char, signed char, short int, int, bool, double": (
        *("int64", "uint8", "int8", "int16", "int32", "bool", "float64"),
    ),
    "__int64 and long long": ("int64",),
    "c10::complex<float>, c10::complex<double>, c10::complex<c10::Half>": ("complex64", "complex128", "complex32"),
    "ComplexFloat, Char, Byte, Short, Long, Int, Bool, Double": (
        *("complex64", "int8", "uint8", "int16", "int64", "int32", "bool", "float64"),
    ),
    "fp16, BF16, FP32": ("float16", "bfloat16", "float32"),
    "tensor<1x77x4096xf16>, tensor<*xf32>": ("float16", "float32"),
    "torch.float8_e4m3fn, Float8_e5m2": ("float8_e4m3fn", "float8_e5m2"),
    "torch.half, torch.long, dtype('float64')": ("float16", "int64", "float64"),
    "(1, 1, 3), <f4": ("float32",),
    "UInt16, uint8_t": ("uint16", "uint8"),
    "addmm_impl_cpu_, slow_conv2d_cpu, floating, Floats, halfway, pointless": (),
}


@pytest.mark.parametrize(("text", "dtypes"), SPELLINGS.items())
def test_a_spelling_is_turned_into_torch_s(text: str, dtypes: tuple[str, ...]) -> None:
    assert dtypes_in(text) == dtypes
