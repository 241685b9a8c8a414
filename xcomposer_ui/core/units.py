"""Numbers as text. A figure is a number with three significant digits and its unit; "—" if it was not measured."""

from __future__ import annotations

import math
from decimal import Decimal

UNKNOWN = "—"
GIB = 1 << 30
MIB = 1 << 20
BINARY_UNITS = (("GiB", GIB), ("MiB", MIB), ("KiB", 1 << 10), ("B", 1))

Figure = tuple[str, str]
"""A number and its unit, each as text; the unit of a share or a count is ""."""


def significant(value: float) -> str:
    """`value` with three significant digits, never in exponents: 0.0841, 1.23, 31.4, 1234."""
    if value == 0:
        return "0"
    size = abs(value)
    decimals = 0
    while size < 100 and decimals < 6:
        size *= 10
        decimals += 1
    return f"{value:.{decimals}f}"


def plain(value: float) -> str:
    """All digits of `value`, never in exponents: 5, 0.0000001."""
    return f"{Decimal(str(value)).normalize():f}" if math.isfinite(value) else str(value)


def small(value: float) -> str:
    """`value` with three significant digits, in exponents below a thousandth: 1.00e-04, 0.0841."""
    return significant(value) if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def share(value: float) -> str:
    """`value`, 0..1, in percent with two decimals; "< 0.01%" where that would round to zero."""
    return f"{value:.2%}" if value == 0 or value >= 1e-4 else "< 0.01%"


def seconds(value: float) -> Figure:
    """The figure of a time in seconds; below a second in milliseconds."""
    return (significant(value), "s") if value >= 1 else (significant(value * 1000), "ms")


def rate(value: float) -> Figure:
    """The figure of tokens per second."""
    return significant(value), "tok/s"


def memory(value: float | None, decimals: int | None = None) -> Figure:
    """The figure of a number of bytes, in binary units: 1 MiB is 1,048,576 bytes.

    Args:
        decimals: of the number, in place of three significant digits.
    """
    if value is None:
        return UNKNOWN, "MiB"
    for unit, size in BINARY_UNITS[:-1]:
        if value >= size:
            return significant(value / size) if decimals is None else f"{value / size:.{decimals}f}", unit
    return f"{value:.0f}", "B"


def joined(figure: Figure) -> str:
    """Number and unit as one text; the dash alone where nothing was measured."""
    return figure[0] if figure[0] == UNKNOWN else f"{figure[0]} {figure[1]}".rstrip()
