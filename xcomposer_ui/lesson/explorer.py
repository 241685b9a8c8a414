"""The float explorer: a number, a sum or a product in every format, with its error, neighbours and bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from xcomposer_ui.core.errors import UserError, check_choice
from xcomposer_ui.lesson.formats import FLOAT32, FORMATS, FloatFormat, as_float32, combined, format_named

OPERATIONS = ("", "+", "×")
"""None, the sum, the product."""

LONGEST_NUMBER = 80
"""Characters of a number: the exact value of a float32 near one has up to 25 digits."""

LARGEST_EXPONENT = 400
"""Of ten; doubles end at 308. The exact value of 1e999999999 would fill the memory."""

SPELLINGS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("−"): "-", ord("_"): None}
"""Characters as a number has them: full-width ones are what a Chinese keyboard types."""


@dataclass(frozen=True)
class Number:
    """A number as typed. exact: its decimal value, None for infinity and NaN. value: the nearest double."""

    exact: Fraction | None
    value: float


@dataclass(frozen=True)
class Calculation:
    """A number, or two with an operation between them. Raises UserError where one cannot be read."""

    first: str
    operation: str = ""
    second: str = ""

    def __post_init__(self) -> None:
        check_choice("operation", self.operation, OPERATIONS)
        for text in self.operands:
            number(text)

    @property
    def operands(self) -> tuple[str, ...]:
        return (self.first, self.second) if self.operation else (self.first,)

    @property
    def text(self) -> str:
        """As written on paper: 0.1 + 0.2."""
        return f" {self.operation} ".join(text.strip() for text in self.operands)


@dataclass(frozen=True)
class Held:
    """A calculation in one format.

    result_format: of the result, which is float32 for tfloat32 operands.
    value: of the result. code: its bits.
    exact: of the calculation, in exact arithmetic; None where an operand is infinite or NaN.
    below, above: the neighbours of `value`; None beyond the largest value.
    state: "exact", "rounded", "subnormal" (rounded, with fewer digits than usual), "underflow" (to zero), "overflow"
    (to infinity, or to the largest value where there is none), or "nan".
    """

    format: FloatFormat
    result_format: FloatFormat
    value: float
    code: int
    exact: Fraction | None
    below: float | None
    above: float | None
    state: str

    @property
    def error(self) -> Fraction | None:
        """`value` less the exact result; None where either is not finite."""
        if self.exact is None or not math.isfinite(self.value):
            return None
        return Fraction(self.value) - self.exact

    @property
    def spacing(self) -> float | None:
        """From `value` to the neighbour that is farther from zero."""
        if self.below is None or self.above is None:
            return None
        return self.above - self.value if self.value >= 0 else self.value - self.below

    @property
    def bits(self) -> str:
        """The code as zeros and ones, the sign first."""
        return f"{self.code:0{self.result_format.bits}b}"

    @property
    def parts(self) -> list[tuple[str, str]]:
        """("sign", "exponent" or "mantissa", "0" or "1") of each of `bits`."""
        form = self.result_format
        names = ["sign", *["exponent"] * form.exponent_bits, *["mantissa"] * form.mantissa_bits]
        return list(zip(names, self.bits, strict=True))


def number(text: str) -> Number:
    """The number in `text`. Raises UserError where it is none, or too long, or far beyond every format."""
    cleaned = text.strip().translate(SPELLINGS)
    try:
        decimal = Decimal(cleaned) if len(cleaned) <= LONGEST_NUMBER else None
    except InvalidOperation:
        decimal = None
    if decimal is None or decimal.is_snan():
        raise UserError("not_a_number", text=text.strip()[:40])
    if not decimal.is_finite():
        return Number(None, float(decimal))
    if decimal and abs(decimal.adjusted()) > LARGEST_EXPONENT:
        raise UserError("number_beyond", text=text.strip()[:40], most=LARGEST_EXPONENT)
    return Number(Fraction(decimal), float(decimal))


def explored(calculation: Calculation) -> tuple[Held, ...]:
    """`calculation` in every format, widest first."""
    return tuple(held(calculation, each) for each in FORMATS)


def held(calculation: Calculation, form: FloatFormat) -> Held:
    """`calculation` in `form`: operands rounded, the result computed in float32 and rounded.

    That is what PyTorch does on a CPU. A result of tfloat32 operands stays float32, as on a card.
    """
    numbers = [number(text) for text in calculation.operands]
    operands = tuple(form.rounded(as_float32(one.value)) for one in numbers)
    target = FLOAT32 if calculation.operation and form.name == "tfloat32" else form
    result = combined(operands[0], calculation.operation, operands[1]) if calculation.operation else operands[0]
    code = target.encode(result)
    value = target.decode(code)
    exact = _exact(calculation.operation, [one.exact for one in numbers])
    below, above = target.neighbours(value)
    return Held(form, target, value, code, exact, below, above, _state(target, value, exact))


def number_of(name: str, bits: str) -> str:
    """The number that `bits`, zeros and ones, stand for in the format `name`, as text that reads back exactly.

    Raises UserError where there is no such format, or the bits are not its.
    """
    check_choice("format", name[:40], [each.name for each in FORMATS])
    form = format_named(name)
    if len(bits) != form.bits or not set(bits) <= {"0", "1"}:
        raise UserError("not_the_bits", bits=bits[:64], count=form.bits, format=name)
    return repr(form.decode(int(bits, 2)))


def _exact(operation: str, values: list[Fraction | None]) -> Fraction | None:
    first, *rest = values
    if first is None or not rest or rest[0] is None:
        return first if not rest else None
    return first * rest[0] if operation == "×" else first + rest[0]


def _state(form: FloatFormat, value: float, exact: Fraction | None) -> str:
    if math.isnan(value):
        return "nan"
    if exact is None:
        return "exact" if math.isinf(value) else "overflow"
    if math.isinf(value) or abs(exact) > form.overflows_from:
        return "overflow"
    if Fraction(value) == exact:
        return "exact"
    if value == 0:
        return "underflow"
    return "subnormal" if abs(value) < form.smallest_normal else "rounded"
