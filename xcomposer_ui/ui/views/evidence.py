"""What a step of the lesson showed: its sentence with the figures, and the figures as a table or a chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.images import open_picture, thumbnail
from xcomposer_ui.core.messages import Message, text
from xcomposer_ui.core.metrics import metric_of
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.core.strategies import strategy_name
from xcomposer_ui.core.units import UNKNOWN, joined, memory, seconds, significant, small
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.lesson.experiments import AUTOCAST, Calculations, LabelledRuns, PredictedMemory
from xcomposer_ui.lesson.kept_results import StepResult
from xcomposer_ui.lesson.step import Fact, Figures
from xcomposer_ui.tracing.dtype_flow import Traced
from xcomposer_ui.tracing.dtype_path import BLOCK, MODULE, PathStep, path
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.charts import Curve, MemoryBar, depth, memory_bars
from xcomposer_ui.ui.views.flow import stage_name
from xcomposer_ui.ui.views.training_charts import gradient_histograms

RUN_FIGURES = ("latency_sec", "peak_memory_bytes")
"""The metrics beside an answer."""

LONGEST_EXACT = 13
"""Characters of a value that is written out exactly."""

THUMBNAIL_PIXELS = 120
"""Longer side of a picture."""


def facts_of(figures: Figures) -> dict[str, str]:
    """The figures as text with their units, for the sentences of a step."""
    return {name: fact_text(name, value) for name, value in figures.items()}


def fact_text(name: str, value: Fact) -> str:
    """A figure as text; the end of its name tells its unit."""
    if value is None or isinstance(value, (str, bool)):
        return UNKNOWN if value is None else str(value)
    if name.endswith("_bytes"):
        return joined(memory(value))
    if name.endswith("_sec"):
        return joined(seconds(value))
    if name.endswith(("_agreement", "_lost_share")):
        return f"{value:.3g}%" if (value := 100 * value) < 10 else f"{value:.0f}%"
    if name.endswith("_ratio"):
        return significant(value)
    return f"{value:,}" if isinstance(value, int) else small(value) if "_logit_" in name else number_text(value)


def number_text(value: float | None) -> str:
    """A value of a format: exact where that is short, else with nine digits, and an ellipsis if there are more."""
    if value is None:
        return UNKNOWN
    exact = exact_text(value)
    if len(exact) <= LONGEST_EXACT:
        return exact
    shown = f"{value:.9g}"
    digits, e, power = shown.partition("e")
    return f"{digits}{'' if float(shown) == value else '…'}{e}{int(power) if power else ''}".replace("-", "−")


def exact_text(value: float) -> str:
    """All digits of a value."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "−∞" if value < 0 else "∞"
    if value == int(value):
        return f"{value:.0f}".replace("-", "−")
    return f"{Decimal(value):f}".replace("-", "−")


def error_text(error: Fraction | None) -> str:
    """An error with its sign and three digits; a dash where there is none to give."""
    if error is None or error == 0:
        return UNKNOWN if error is None else "0"
    # Not by way of a double, which the error of a saturated 8-bit number may exceed.
    shown = Decimal(error.numerator) / Decimal(error.denominator)
    return (f"{shown:+.2e}" if abs(shown) < Decimal("0.001") or abs(shown) >= 100000 else f"{shown:+.3g}").replace(
        "-", "−"
    )


def evidence_view(result: StepResult, language: str) -> Markup:
    """The evidence of a step's result."""
    return _VIEWS[result.step.experiment](result.findings.evidence, language)


def calculations_view(shown: Calculations, language: str) -> Markup:
    """Each calculation in every format."""
    cases = list(shown.values())
    rows = [
        (held[0].format.name, [(number_text(one.value), one.state) for one in held])
        for held in zip(*(formats for _, formats in cases), strict=True)
    ]
    return render("evidence_calculations", language, heads=[written for written, _ in cases], rows=rows)


def runs_view(shown: LabelledRuns, language: str) -> Markup:
    """The picture, the question, and the answer or the error of each run."""
    results, metrics = list(shown.values()), [metric_of(field) for field in RUN_FIGURES]
    return render(
        "evidence_runs",
        language,
        picture=example_thumbnail(results[0].request.file or ""),
        question=results[0].request.text,
        heads=[Message(metric.label) for metric in metrics],
        rows=[
            (result, _outcome(result, language), [metric.of(vars(result.measurement), language) for metric in metrics])
            for result in results
        ],
    )


def trace_view(shown: Traced, language: str) -> Markup:
    """The stages of the run with the types that go in and come out, and the casts within."""
    casting = {call.name for call in shown.flow.calls for cast in call.casts if cast.operation == AUTOCAST}
    return render("evidence_trace", language, stages=[_stage(steps, casting, language) for steps in _merged(shown)])


def distance_view(found: Divergences, language: str) -> Markup:
    """The error over depth of each 16-bit type."""
    curves = [Curve(entry.half, entry.half, entry.layers) for entry in found.entries]
    if found.floor is not None:
        curves.append(Curve(text("compare.floor", language), "float32", found.floor.layers, "floor"))
    return depth(curves, language)


def memory_view(shown: PredictedMemory, language: str) -> Markup:
    """The peak in both precisions, weights and the rest, with the card's capacity across."""
    bars = [
        MemoryBar(strategy_name(strategy, language), (weights, peak - weights))
        for strategy, (weights, peak) in shown.sizes.items()
    ]
    legend = [text(code, language) for code in ("plan.weights", "lesson.memory.rest")]
    capacity = shown.card.usable_bytes
    line = (capacity, f"{shown.card.name} ({joined(memory(capacity))})")
    return memory_bars(text("lesson.memory.chart", language), legend, bars, line)


def training_view(shown: Finetuning, language: str) -> Markup:
    """The gradients of both recipes over the range of their type."""
    return gradient_histograms(shown.recipes, language)


_VIEWS: dict[str, Callable[[Any, str], Markup]] = {
    "arithmetic": calculations_view, "runs": runs_view, "trace": trace_view, "distance": distance_view,
    "memory": memory_view, "training": training_view,
}  # fmt: skip


@cache
def example_thumbnail(picture: str) -> str:
    """The example called `picture`, small, as a data: URL."""
    return thumbnail(open_picture(ASSETS / "examples" / Path(picture).name), THUMBNAIL_PIXELS)


def _stage(steps: Sequence[PathStep], casting: set[str], language: str) -> dict[str, Any]:
    """One stage of a run, or several blocks that are alike, with the floating-point types that go in and come out.

    inserts: whether autocast inserts a cast in it. islands: modules inside that compute in float32.
    """
    first, last = steps[0], steps[-1]
    names = [stage_name(step).in_language(language) for step in (first, last)]
    inside = tuple(f"{step.name}." for step in steps)
    casts_inside = any(name.startswith(inside) for name in casting if first.name)
    return {
        "name": names[0] if len(steps) == 1 else f"{names[0]} – {names[1]}",
        "into": first.dtypes_in,
        "out": last.dtypes_out,
        "inserts": casts_inside or any(step.name in casting for step in steps),
        "islands": sum(step.islands + step.is_island for step in steps),
    }


def _merged(shown: Traced) -> Iterator[list[PathStep]]:
    """The stages of the run, the blocks that follow each other with equal types together."""
    stages = [step for step in path(shown.flow) if step.level == 0 and step.stage != MODULE]
    for _, alike in groupby(
        enumerate(stages), lambda n: (n[1].dtypes_in, n[1].dtypes_out) if n[1].stage == BLOCK else n[0]
    ):
        yield [step for _, step in alike]


def _outcome(result: RunResult, language: str) -> str:
    """The answer, PyTorch's error, or the kind of a failure that raised none."""
    if result.failure is None:
        return result.answer or ""
    return result.failure.line(language) if result.failure.operands else result.failure.type
