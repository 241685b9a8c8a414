"""Bars of memory that begin at zero, in parts, over one axis with its unit. Every text in them is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xcomposer_ui.core.units import joined, memory, significant
from xcomposer_ui.ui.views.marks import escaped

UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
MOST_TICKS = 5


@dataclass(frozen=True)
class MemoryBar:
    """parts: bytes of each part, in the legend's order."""

    label: str
    parts: tuple[int, ...]


def memory_bars(
    title: str, legend: Sequence[str], bars: Sequence[MemoryBar], line: tuple[int, str] | None = None
) -> str:
    """A figure; each bar's total stands beside it. line: (bytes, label) of a limit that crosses the bars."""
    most = max((sum(bar.parts) for bar in bars), default=0)
    drawn = line if line is not None and line[0] <= 2 * most else None  # a far limit would leave the bars no room
    end, ticks, unit, size = axis(max(most, drawn[0] if drawn else 0))
    kinds = [(f"xl-part-{n}", name) for n, name in enumerate(legend)]
    kinds += [("xl-limit", line[1])] if line is not None else []
    names = "".join(f'<li class="{kind}"><i aria-hidden="true"></i>{escaped(name)}</li>' for kind, name in kinds)
    limit = "" if drawn is None else f'<u style="left:{100 * drawn[0] / end:.2f}%"></u>'
    rows = "".join(_row(bar, legend, end, limit) for bar in bars)
    marks = "".join(f'<span style="left:{100 * tick * size / end:.2f}%">{significant(tick)}</span>' for tick in ticks)
    return (
        f'<figure class="xl-memory-bars"><figcaption>{escaped(title)}</figcaption><ul class="xl-legend">{names}</ul>'
        f'<dl>{rows}</dl><div class="xl-axis" aria-hidden="true"><span class="xl-ticks">{marks}</span>'
        f"<span>{unit}</span></div></figure>"
    )


def axis(most: int) -> tuple[float, list[float], str, int]:
    """(end of the axis in bytes, its ticks in the unit, the unit, the unit's bytes) for values up to `most` bytes."""
    unit, size = next(((name, size) for name, size in UNITS if most >= size), UNITS[-1])
    step, count = round_steps(most / size)
    return count * step * size, [n * step for n in range(count + 1)], unit, size


def round_steps(most: float) -> tuple[float, int]:
    """(a round step, how many of them reach `most`), some MOST_TICKS of them."""
    rough = max(most, 1e-9) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)
    return step, max(1, math.ceil(most / step - 1e-9))


def _row(bar: MemoryBar, legend: Sequence[str], end: float, limit: str) -> str:
    parts = "".join(
        f'<i class="xl-part-{n}" style="width:{100 * size / end:.2f}%" '
        f'title="{escaped(f"{name}: {joined(memory(size))}")}"></i>'
        for n, (size, name) in enumerate(zip(bar.parts, legend, strict=True))
    )
    total = escaped(joined(memory(sum(bar.parts))))
    return f'<dt>{escaped(bar.label)}</dt><dd><span class="xl-track">{parts}{limit}</span><span>{total}</span></dd>'
