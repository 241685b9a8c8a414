"""How a run's memory went: a curve from zero over time, phases marked, the prediction across it. All text escaped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from xcomposer_ui.core.memory_timeline import MemorySample, MemoryTimeline
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import joined, memory, seconds, significant
from xcomposer_ui.ui.views.marks import escaped
from xcomposer_ui.ui.views.memory_bars import axis, round_steps

WIDTH, HEIGHT = 1000, 100
"""The drawing's own units; it is stretched to the room there is, and every text stands outside of it, unstretched."""


def memory_chart(timeline: MemoryTimeline | None, predicted: int | None, language: str) -> str:
    """`course` as a figure with its text; empty where there is none. predicted: peak in bytes, None where unknown."""
    if timeline is None or not timeline.samples or timeline.samples[-1].at_sec <= 0:
        return ""
    return _figure(_Plot(timeline, predicted), timeline, predicted, language)


class _Plot:
    """The scales of one figure."""

    def __init__(self, timeline: MemoryTimeline, predicted: int | None) -> None:
        reserved = [sample.reserved_bytes or 0 for sample in timeline.samples]
        most = max(timeline.peak.allocated_bytes, predicted or 0, *reserved)
        self.top, self.ticks, self.unit, self.size = axis(most)
        last = timeline.samples[-1].at_sec
        self.time_unit, self.time_size = ("s", 1.0) if last >= 1 else ("ms", 0.001)
        step, count = round_steps(last / self.time_size)
        self.end = step * count * self.time_size
        self.times = [step * n for n in range(count + 1)]

    def x(self, at_sec: float) -> float:
        return WIDTH * at_sec / self.end

    def y(self, size: float) -> float:
        return HEIGHT * (1 - size / self.top)


def _figure(plot: _Plot, timeline: MemoryTimeline, predicted: int | None, language: str) -> str:
    title = escaped(text("course.title", language))
    said = escaped(_said(timeline, predicted, language))
    marks = "".join(
        f'<span style="bottom:{100 * tick * plot.size / plot.top:.2f}%">{significant(tick)}</span>'
        for tick in plot.ticks
    )
    times = "".join(
        f'<span style="left:{100 * time * plot.time_size / plot.end:.2f}%">{significant(time)}</span>'
        for time in plot.times
    )
    return (
        f'<figure class="xl-course"><figcaption>{title}</figcaption>{_legend(timeline, predicted, language)}'
        f'<div class="xl-plot"><div class="xl-phases" aria-hidden="true">{_phases(plot, timeline, language)}</div>'
        f'<div class="xl-up" aria-hidden="true"><b>{plot.unit}</b>{marks}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{title}: {said}">'
        f"{_drawn(plot, timeline, predicted)}</svg>"
        f'<div class="xl-along" aria-hidden="true">{times}<b>{plot.time_unit}</b></div></div>'
        f'<p class="xl-quiet">{said}</p></figure>'
    )


def _legend(timeline: MemoryTimeline, predicted: int | None, language: str) -> str:
    entries = [("allocated", text(f"memory.{timeline.kind}", language)), ("weights", text("plan.weights", language))]
    if timeline.samples[-1].reserved_bytes is not None:
        entries.append(("reserved", text("course.reserved", language)))
    if predicted is not None:
        entries.append(("predicted", text("course.predicted", language)))
    names = "".join(f'<li class="xl-{kind}"><i aria-hidden="true"></i>{escaped(name)}</li>' for kind, name in entries)
    return f'<ul class="xl-legend">{names}</ul>'


def _said(timeline: MemoryTimeline, predicted: int | None, language: str) -> str:
    """Every figure of the chart as text."""
    parts = [
        text(
            "course.phase",
            language,
            phase=text(f"plan.column.{phase}", language),
            memory=joined(memory(sample.allocated_bytes)),
            sec=joined(seconds(sample.at_sec)),
        )
        for phase, sample in timeline.phase_peaks().items()
    ]
    parts.append(f"{text('plan.weights', language)} {joined(memory(timeline.weights_bytes))}")
    reserved = max((s.reserved_bytes for s in timeline.samples if s.reserved_bytes is not None), default=None)
    if reserved is not None:
        parts.append(f"{text('course.reserved', language)} {joined(memory(reserved))}")
    if predicted is not None:
        parts.append(f"{text('course.predicted', language)} {joined(memory(predicted))}")
    return " · ".join(parts)


def _phases(plot: _Plot, timeline: MemoryTimeline, language: str) -> str:
    """A name a row, from where the phase begins: short phases' names would cover one another in one row."""
    marks = ""
    for row, (phase, began, ended) in enumerate(_spans(timeline)):
        left, width = plot.x(began) / WIDTH, (plot.x(ended) - plot.x(began)) / WIDTH
        name = escaped(text(f"plan.column.{phase}", language))
        side = "left" if left < 0.8 else "right"
        at = f"left:{100 * left:.2f}%" if side == "left" else f"right:{100 * (1 - left):.2f}%"
        marks += f'<i style="left:{100 * left:.2f}%;width:{100 * width:.2f}%;top:{16 * row + 14}px"></i>'
        marks += f'<span style="{at};top:{16 * row - 3}px">{name}</span>'
    return marks


def _spans(timeline: MemoryTimeline) -> Iterator[tuple[str, float, float]]:
    """(phase, its begin, its end) in seconds, in their order."""
    began = 0.0
    for phase, samples in groupby(timeline.samples, key=lambda sample: sample.phase):
        *_, last = samples
        yield phase, began, last.at_sec
        began = last.at_sec


def _drawn(plot: _Plot, timeline: MemoryTimeline, predicted: int | None) -> str:
    lines = "".join(f'<path class="xl-grid" d="M0 {plot.y(t * plot.size):.2f}H{WIDTH}"/>' for t in plot.ticks)
    end = plot.x(timeline.samples[-1].at_sec)
    weights = plot.y(timeline.weights_bytes)
    allocated = _stairs(plot, timeline.samples, [sample.allocated_bytes for sample in timeline.samples])
    drawn = f'<path class="xl-allocated-area" d="{allocated}V{HEIGHT}H0Z"/>'
    drawn += f'<path class="xl-weights" d="M0 {weights:.2f}H{end:.1f}V{HEIGHT}H0Z"/>'
    drawn += f'<path class="xl-allocated" d="{allocated}"/>'
    for _, began, _ in list(_spans(timeline))[1:]:
        drawn += f'<path class="xl-border" d="M{plot.x(began):.1f} 0V{HEIGHT}"/>'
    if timeline.samples[-1].reserved_bytes is not None:
        reserved = _stairs(plot, timeline.samples, [sample.reserved_bytes or 0 for sample in timeline.samples])
        drawn += f'<path class="xl-reserved" d="{reserved}"/>'
    if predicted is not None:
        drawn += f'<path class="xl-predicted" d="M0 {plot.y(predicted):.2f}H{WIDTH}"/>'
    return lines + drawn


def _stairs(plot: _Plot, samples: tuple[MemorySample, ...], sizes: list[int]) -> str:
    """A sample tells of the time since the one before it: a step as wide as that."""
    steps = zip(samples, sizes, strict=True)
    return f"M0 {plot.y(sizes[0]):.2f}" + "".join(f"V{plot.y(size):.2f}H{plot.x(s.at_sec):.1f}" for s, size in steps)
