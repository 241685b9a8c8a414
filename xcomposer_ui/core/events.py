"""The events that a run yields while it goes on, and the lab's status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.result import RunResult


@dataclass(frozen=True)
class Status:
    """Where the lab stands, for the page's head line. None: not known yet, because torch is not loaded yet.

    reasons: why each automatic choice ("device", "half", "strategy") was made.
    loaded: (model, dtype) of the weights that are in memory. strategy: to begin with, where nobody chose one.
    """

    model: str
    device: str | None
    half: str | None
    reasons: Mapping[str, Sentence] = field(default_factory=dict)
    loaded: tuple[tuple[str, str], ...] = ()
    strategy: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Another run holds the model; this one starts when it is done."""


@dataclass(frozen=True)
class Loading:
    """Weights are being brought: `stage` "download" from the hub, "load" into memory.

    fraction: of the stage, 0..1, None where it cannot be known.
    """

    model: str
    dtype: str
    fraction: float | None = None
    stage: str = "load"


@dataclass(frozen=True)
class TextSoFar:
    """The whole answer as far as it has come, not only what is new."""

    text: str


@dataclass(frozen=True)
class MemorySoFar:
    """How the run's memory went so far, now and then during a run that takes its time."""

    timeline: MemoryTimeline


@dataclass(frozen=True)
class Finished:
    """The last event of every run."""

    result: RunResult


@dataclass(frozen=True)
class FinishedBatch:
    """The last event of several questions asked at once.

    results: of the first of them, in their order; fewer than `size` where they were stopped.
    size: how many at once memory allowed.
    """

    results: tuple[RunResult, ...]
    size: int


Event = Waiting | Loading | TextSoFar | MemorySoFar | Finished
