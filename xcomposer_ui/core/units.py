"""Figures as text: three significant digits with a unit, and "—" for what was not measured."""

from __future__ import annotations

UNKNOWN = "—"
_BINARY = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


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


def seconds(value: float | None) -> tuple[str, str]:
    """(figure, unit) of a time in seconds; below a second in milliseconds."""
    if value is None:
        return UNKNOWN, "s"
    return (significant(value), "s") if value >= 1 else (significant(value * 1000), "ms")


def rate(value: float | None) -> tuple[str, str]:
    """(figure, unit) of tokens per second."""
    return (UNKNOWN if value is None else significant(value)), "tok/s"


def memory(value: int | None) -> tuple[str, str]:
    """(figure, unit) of a number of bytes, in binary units: 1 MiB is 1,048,576 bytes."""
    if value is None:
        return UNKNOWN, "MiB"
    for unit, size in _BINARY:
        if value >= size:
            return significant(value / size), unit
    return str(value), "B"


def joined(figure: tuple[str, str]) -> str:
    """Figure and unit as one text; only the dash where nothing was measured."""
    return figure[0] if figure[0] == UNKNOWN else f"{figure[0]} {figure[1]}"


GIB = 1 << 30


def gibibytes(size: int) -> str:
    """`size` bytes in GiB, or MiB where that is less than a tenth."""
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.2f} MiB"
