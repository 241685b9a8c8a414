"""The float explorer: a calculation in every format, its bits, and the formats on a logarithmic number line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.lesson.explorer import Calculation, Held, explored
from xcomposer_ui.lesson.formats import FORMATS, FloatFormat
from xcomposer_ui.ui.html import colour_name, render
from xcomposer_ui.ui.learn_handlers import PRESETS
from xcomposer_ui.ui.views.evidence import error_text, exact_text, number_text

LOWEST_POWER, HIGHEST_POWER = -150, 128
"""Powers of two at the ends of the number line: float32's smallest value is 2 ** -149."""

TICKS = range(-40, 40, 10)
"""Powers of ten that are marked on it."""


def explorer_view(calculation: Calculation, language: str, link: str) -> Markup:
    """`calculation` in every format, and the number line."""
    rows = explored(calculation)
    return render(
        "float_explorer",
        language,
        notice=None,
        calculation=calculation,
        presets=PRESETS,
        rows=rows,
        number_text=number_text,
        exact_text=exact_text,
        error_text=error_text,
        line=number_line(rows),
        link=link,
    )


def explorer_mistake(mistake: UserError, language: str) -> Markup:
    """Why the fields' calculation is not shown, and the offered ones."""
    return render("float_explorer", language, notice=mistake.message, calculation=None, presets=PRESETS)


@dataclass(frozen=True)
class NumberLine:
    """marks: x of each format's value of the calculation, None where it is zero or not finite, beside its band's y."""

    bands: Sequence[dict[str, Any]]
    ticks: Sequence[tuple[str, float]]
    marks: Sequence[tuple[str, float, float]]
    width: int = 960
    height: int = 166
    left: int = 120
    row: int = 23

    @classmethod
    def x(cls, power: float) -> float:
        """Of two to the `power`."""
        share = (power - LOWEST_POWER) / (HIGHEST_POWER - LOWEST_POWER)
        return cls.left + share * (cls.width - cls.left - 10)


def number_line(rows: Sequence[Held]) -> NumberLine:
    """Each format from its smallest to its largest value; a band is as high as the logarithm of values per octave."""
    bands = [_band(form, (n + 1) * NumberLine.row) for n, form in enumerate(FORMATS)]
    ticks = [(f"1e{power}" if power else "1", NumberLine.x(power * math.log2(10))) for power in TICKS]
    marks = [
        (f"xl-{colour_name(held.format.name)}", NumberLine.x(math.log2(abs(held.value))), (n + 1) * NumberLine.row)
        for n, held in enumerate(rows)
        if math.isfinite(held.value) and held.value != 0
    ]
    return NumberLine(bands, ticks, marks)


def _band(form: FloatFormat, base: float) -> dict[str, Any]:
    """The area of one format over the line at y `base`, stepwise by powers of two, as SVG's points."""
    most = FORMATS[0].mantissa_bits + 1
    corners = []
    for power in range(form.smallest_exponent - form.mantissa_bits, math.frexp(form.largest)[1]):
        height = (1 + math.log2(form.values_per_octave(power))) / most * (NumberLine.row - 6)
        corners += [(NumberLine.x(power), base - height), (NumberLine.x(power + 1), base - height)]
    area = [(corners[0][0], base), *corners, (corners[-1][0], base)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in area)
    return {"name": form.name, "css_class": f"xl-{colour_name(form.name)}", "points": points, "middle": base - 4}
