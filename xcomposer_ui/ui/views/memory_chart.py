"""A run's memory over time: a curve from zero with its phases marked and the predicted peak across it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from markupsafe import Markup

from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import joined, memory, seconds
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.axis import memory_axis, time_axis

WIDTH, HEIGHT = 1000, 100
"""In the drawing's own units; it is stretched to the available space, so texts are outside it."""


def memory_chart(timeline: MemoryTimeline | None, predicted_bytes: int | None, language: str) -> Markup:
    """`timeline` as a figure with its values as text; empty where there is none. predicted_bytes: the peak."""
    if timeline is None or not timeline.samples or timeline.samples[-1].at_sec <= 0:
        return Markup()
    plot = _Plot(timeline, predicted_bytes)
    return render(
        "memory_chart",
        language,
        plot=plot,
        width=WIDTH,
        height=HEIGHT,
        legend=[
            ("xl-allocated", text(f"memory.{timeline.kind}", language)),
            *((f"xl-{kind}", text(key, language)) for kind, key, _ in plot.sizes),
        ],
        phases=list(_spans(timeline)),
        paths=[*(("grid", f"M0 {plot.y(tick.value):.2f}H{WIDTH}") for tick in plot.memory.ticks), *plot.paths()],
        figures=" · ".join(plot.figures(language)),
    )


class _Plot:
    """The scales and the paths of one figure.

    sizes: (kind of the line, text's key, bytes) of what is drawn beside the allocated memory.
    """

    def __init__(self, timeline: MemoryTimeline, predicted_bytes: int | None) -> None:
        self.timeline = timeline
        self.predicted_bytes = predicted_bytes
        self.end_sec = timeline.samples[-1].at_sec
        reserved = [sample.reserved_bytes for sample in timeline.samples]
        self.reserved_bytes = [size or 0 for size in reserved] if reserved[-1] is not None else None
        sizes = (
            ("weights", "plan.weights", timeline.weights_bytes),
            ("reserved", "timeline.reserved", max(self.reserved_bytes) if self.reserved_bytes else None),
            ("predicted", "timeline.predicted", predicted_bytes),
        )
        self.sizes = [(kind, key, size) for kind, key, size in sizes if size is not None]
        self.memory = memory_axis(max(timeline.peak.allocated_bytes, *(size for *_, size in self.sizes)))
        self.time = time_axis(self.end_sec)

    def x(self, at_sec: float) -> float:
        return WIDTH * self.time.share(at_sec)

    def y(self, size_bytes: float) -> float:
        return HEIGHT * (1 - self.memory.share(size_bytes))

    def figures(self, language: str) -> list[str]:
        """Every figure of the chart as text."""
        parts = [
            text(
                "timeline.phase",
                language,
                phase=text(f"plan.column.{phase}", language),
                memory=joined(memory(sample.allocated_bytes)),
                sec=joined(seconds(sample.at_sec)),
            )
            for phase, sample in self.timeline.phase_peaks().items()
        ]
        return parts + [f"{text(key, language)} {joined(memory(size))}" for _, key, size in self.sizes]

    def paths(self) -> Iterator[tuple[str, str]]:
        """(kind, SVG path) of every area and line, the lowest layer first."""
        allocated = self._steps([sample.allocated_bytes for sample in self.timeline.samples])
        yield "allocated-area", f"{allocated}V{HEIGHT}H0Z"
        yield "weights", f"M0 {self.y(self.timeline.weights_bytes):.2f}H{self.x(self.end_sec):.1f}V{HEIGHT}H0Z"
        yield "allocated", allocated
        for _, begin_sec, _ in list(_spans(self.timeline))[1:]:
            yield "border", f"M{self.x(begin_sec):.1f} 0V{HEIGHT}"
        if self.reserved_bytes is not None:
            yield "reserved", self._steps(self.reserved_bytes)
        if self.predicted_bytes is not None:
            yield "predicted", f"M0 {self.y(self.predicted_bytes):.2f}H{WIDTH}"

    def _steps(self, sizes_bytes: list[int]) -> str:
        """A step line: a sample covers the time since the previous one."""
        samples = zip(self.timeline.samples, sizes_bytes, strict=True)
        steps = "".join(f"V{self.y(size):.2f}H{self.x(sample.at_sec):.1f}" for sample, size in samples)
        return f"M0 {self.y(sizes_bytes[0]):.2f}{steps}"


def _spans(timeline: MemoryTimeline) -> Iterator[tuple[str, float, float]]:
    """(phase, its start, its end) in seconds, in order of time."""
    begin_sec = 0.0
    for phase, samples in groupby(timeline.samples, key=lambda sample: sample.phase):
        *_, last = samples
        yield phase, begin_sec, last.at_sec
        begin_sec = last.at_sec
