"""The formats against PyTorch's own casts and arithmetic, bit for bit."""

from __future__ import annotations

import math
import random
import struct

import pytest
import torch

from xcomposer_ui.lesson.formats import FLOAT32, FORMATS, FloatFormat, as_float32, combined, format_named

IN_TORCH = [form for form in FORMATS if form.name != "tfloat32"]
INTEGERS = {8: torch.uint8, 16: torch.uint16, 32: torch.uint32}


def samples(form: FloatFormat) -> list[float]:
    """Values of every size, halves between two values of the format, its limits, and infinity, NaN and zeros."""
    draw = random.Random(form.name)
    found = [draw.choice((-1, 1)) * draw.uniform(1, 2) * 2.0 ** draw.randint(-160, 130) for _ in range(3000)]
    found += [draw.gauss(0, 1) for _ in range(1000)]
    for _ in range(2000):
        value = form.decode(draw.randrange(form.largest_code))
        below, above = form.neighbours(value)
        found += [value, (value + (above or value)) / 2, (value + (below or value)) / 2, math.nextafter(value, 9)]
    edges = [form.largest, form.smallest, form.smallest_normal, 65504, 65519.99, 65520, 448, 464, 464.1, 480, 57344]
    found += [factor * edge for edge in edges for factor in (0.5, 1, 1.0001, 1.25, 1.5, 2, -1)]
    found += [0.0, -0.0, math.inf, -math.inf, 1e300, 5e-324]
    return [value for value in found if abs(value) < form.overflows_from or saturates(form)]


def saturates(form: FloatFormat) -> bool:
    """Whether what is too large is cast as the format says: a PyTorch older than 2.13 made it NaN in float8_e4m3fn."""
    return form.has_infinity or bool(torch.tensor(1e4).to(getattr(torch, form.name)).float().isfinite())


def torch_codes(values: list[float], form: FloatFormat) -> list[int]:
    cast = torch.tensor(values, dtype=torch.float64).to(getattr(torch, form.name))
    codes: list[int] = cast.view(INTEGERS[form.bits]).to(torch.int64).tolist()
    return codes


@pytest.mark.parametrize("form", IN_TORCH, ids=lambda form: form.name)
def test_rounding_is_torchs_cast_bit_for_bit(form: FloatFormat) -> None:
    values = samples(form)
    ours = [form.encode(as_float32(value)) for value in values]
    assert [
        (value, our, torchs)
        for value, our, torchs in zip(values, ours, torch_codes(values, form), strict=True)
        if our != torchs and not math.isnan(form.decode(our))
    ] == []
    theirs = torch.tensor(values, dtype=torch.float64).to(getattr(torch, form.name))
    assert [math.isnan(form.decode(code)) for code in ours] == theirs.float().isnan().tolist()


@pytest.mark.parametrize("form", [form for form in IN_TORCH if form.bits <= 16], ids=lambda form: form.name)
def test_every_code_has_torchs_value(form: FloatFormat) -> None:
    codes = torch.arange(1 << form.bits, dtype=torch.int64)
    theirs = codes.to(INTEGERS[form.bits]).view(getattr(torch, form.name)).double().tolist()
    ours = [form.decode(code) for code in range(1 << form.bits)]
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("form", IN_TORCH, ids=lambda form: form.name)
def test_limits_are_torchs(form: FloatFormat) -> None:
    limits = torch.finfo(getattr(torch, form.name))
    assert (form.largest, form.smallest_normal, form.bits) == (limits.max, limits.tiny, limits.bits)
    assert form.neighbours(1.0)[1] == 1 + limits.eps


@pytest.mark.parametrize("operation", ["+", "×"])
@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_sums_and_products_are_torchs(name: str, operation: str) -> None:
    form, dtype = format_named(name), getattr(torch, name)
    draw = random.Random(operation)
    pairs = [[draw.gauss(0, 1) * 2.0 ** draw.randint(-12, 12) for _ in range(2)] for _ in range(3000)]
    pairs += [[2048, 1], [256, 1], [0.1, 0.2], [65504, 65504], [1e-8, 1e-8], [300, 300]]
    one, other = (torch.tensor(column, dtype=torch.float64).to(dtype) for column in zip(*pairs, strict=True))
    theirs = (one + other if operation == "+" else one * other).double().tolist()
    ours = [form.rounded(combined(a, operation, b)) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    assert ours == theirs


def test_tfloat32_keeps_ten_bits_and_rounds_ties_away() -> None:
    """As the instruction that rounds to it does: half a step is added to the bits, and the lower 13 are dropped."""
    form = format_named("tfloat32")
    draw = random.Random(0)
    values = [as_float32(draw.gauss(0, 1) * 2.0 ** draw.randint(-120, 120)) for _ in range(5000)]
    values += [FLOAT32.decode((127 << 23) | (1 << 12)), FLOAT32.decode((127 << 23) | (3 << 12))]
    for value in values:
        (bits,) = struct.unpack("I", struct.pack("f", value))
        (expected,) = struct.unpack("f", struct.pack("I", (bits + 0x1000) & ~0x1FFF))
        assert form.rounded(value) == expected


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_neighbours_are_one_code_away_and_nothing_lies_between(form: FloatFormat) -> None:
    for value in (1.0, -1.0, 0.0, form.smallest, -form.smallest, form.smallest_normal, form.largest, -form.largest):
        below, above = form.neighbours(value)
        assert below is None or below < value
        assert above is None or above > value
        if above is not None:
            assert form.rounded(value + (above - value) * 0.49) == value
            assert form.rounded(value + (above - value) * 0.51) == above
    assert form.neighbours(form.largest)[1] is None and form.neighbours(math.nan) == (None, None)


@pytest.mark.parametrize("form", [form for form in FORMATS if form.bits <= 16], ids=lambda form: form.name)
def test_values_per_octave_are_counted(form: FloatFormat) -> None:
    sizes = [form.decode(code) for code in range(1, form.largest_code + 1)]
    for exponent in range(form.smallest_exponent - form.mantissa_bits - 2, 18):
        counted = sum(2.0**exponent <= size < 2.0 ** (exponent + 1) for size in sizes)
        if 2.0 ** (exponent + 1) <= form.largest:  # the last octave of e4m3fn lacks its NaN's code
            assert form.values_per_octave(exponent) == counted
