"""Binary floating-point formats: rounding, bits, neighbours and arithmetic, equal to PyTorch's casts bit for bit.

Computed in Python, so that a page shows a number in every format without torch and without waiting for the model.
`tests/lesson/test_formats.py` compares every format that PyTorch has with PyTorch's own casts.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class FloatFormat:
    """A format of one sign bit, exponent bits and mantissa bits, as in IEEE 754.

    name: in torch's spelling; "tfloat32", which no tensor has, is how a card rounds float32 operands of a product.
    has_infinity: whether the largest exponent is kept for infinity and NaN. float8_e4m3fn keeps one code of each sign
    for NaN instead; what is too large, infinity included, becomes its largest value, as in PyTorch since 2.13 (before,
    it became NaN).
    ties_away: whether a value in the middle is rounded away from zero rather than to the even neighbour.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    has_infinity: bool = True
    ties_away: bool = False

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from the exponent's bits."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def smallest_exponent(self) -> int:
        """Of normal values: the smallest one is 2 to this power."""
        return 1 - self.bias

    @property
    def largest_code(self) -> int:
        """The bits of the largest finite value."""
        if self.has_infinity:
            return (((1 << self.exponent_bits) - 1) << self.mantissa_bits) - 1
        return (1 << (self.bits - 1)) - 2

    @property
    def largest(self) -> float:
        return self.decode(self.largest_code)

    @property
    def overflows_from(self) -> float:
        """Half a step above the largest value: what is larger is too large."""
        return self.largest + (self.largest - self.decode(self.largest_code - 1)) / 2

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.smallest_exponent)

    @property
    def smallest(self) -> float:
        """The smallest value above zero, a subnormal one."""
        return self.decode(1)

    def encode(self, value: float) -> int:
        """The bits of `value` rounded to this format; beyond the largest value those of infinity, or of the largest."""
        sign = (math.copysign(1.0, value) < 0) << (self.bits - 1)
        if math.isnan(value):
            return sign | ((1 << (self.bits - 1)) - 1)
        size = abs(value)
        if math.isinf(size):
            return sign | self._beyond()
        if size == 0:
            return sign
        exponent = max(math.frexp(size)[1] - 1, self.smallest_exponent)
        scaled = math.ldexp(size, self.mantissa_bits - exponent)
        steps = math.floor(scaled + 0.5) if self.ties_away else round(scaled)  # `round` is to even
        # A mantissa that rounds up to the next power of two carries into the exponent.
        code = ((exponent - self.smallest_exponent) << self.mantissa_bits) + steps
        return sign | (code if code <= self.largest_code else self._beyond())

    def decode(self, code: int) -> float:
        negative, size = code >> (self.bits - 1), code & ((1 << (self.bits - 1)) - 1)
        exponent, mantissa = size >> self.mantissa_bits, size & ((1 << self.mantissa_bits) - 1)
        if size > self.largest_code:
            value = math.inf if self.has_infinity and mantissa == 0 else math.nan
        else:
            implied = (1 << self.mantissa_bits) if exponent else 0
            power = max(exponent, 1) - 1 + self.smallest_exponent - self.mantissa_bits
            value = math.ldexp(mantissa + implied, power)
        return -value if negative else value

    def rounded(self, value: float) -> float:
        return self.decode(self.encode(value))

    def neighbours(self, value: float) -> tuple[float | None, float | None]:
        """The values of this format below and above its value `value`; None beyond the largest, and for NaN."""
        if not math.isfinite(value):
            return None, None
        return self._next(value, up=False), self._next(value, up=True)

    def values_per_octave(self, exponent: int) -> float:
        """Values from 2 to the power `exponent` up to the next power of two; 0 outside the range."""
        if exponent < self.smallest_exponent:
            return max(0.0, math.floor(2.0 ** (exponent - self.smallest_exponent + self.mantissa_bits)))
        return float(1 << self.mantissa_bits) if math.ldexp(1.0, exponent) <= self.largest else 0.0

    def _beyond(self) -> int:
        """The bits of what is too large: infinity, or the largest value where there is none."""
        return self.largest_code + self.has_infinity

    def _next(self, value: float, *, up: bool) -> float | None:
        if value == 0:
            return self.smallest if up else -self.smallest
        size = self.encode(abs(value)) + (1 if up == (value > 0) else -1)
        return None if size > self.largest_code else math.copysign(self.decode(size), value)


FLOAT32 = FloatFormat("float32", 8, 23)
FORMATS = (
    FLOAT32,
    # As `cvt.rna.tf32.f32` of PTX does, the one conversion that cards have.
    FloatFormat("tfloat32", 8, 10, ties_away=True),
    FloatFormat("float16", 5, 10),
    FloatFormat("bfloat16", 8, 7),
    FloatFormat("float8_e4m3fn", 4, 3, has_infinity=False),
    FloatFormat("float8_e5m2", 5, 2),
)
"""The formats of the lesson, widest first."""


def as_float32(value: float) -> float:
    """`value` rounded to float32, infinite beyond its range; PyTorch casts a double to 16 and 8 bits by way of it."""
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def combined(one: float, operation: str, other: float) -> float:
    """The float32 result of "+" or "×" on two float32 values.

    A double has more than twice float32's digits, so rounding its result to float32 is as rounding the exact one.
    """
    return as_float32(one * other if operation == "×" else one + other)


def format_named(name: str) -> FloatFormat:
    """The format called `name`. Raises KeyError for any other."""
    return {known.name: known for known in FORMATS}[name]
