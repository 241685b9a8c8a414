"""The events that a run yields, and the lab's status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.result import Failure, RunResult


@dataclass(frozen=True)
class Status:
    """The lab's state, for the page's head line. None: unknown, because torch is not loaded yet.

    reasons: why each automatic choice ("device", "half", "strategy", "threads") was made.
    loaded: (model, dtype) of the weights that are in memory. strategy: the default for this machine.
    """

    model: str
    device: str | None
    half: str | None
    reasons: Mapping[str, Sentence] = field(default_factory=dict)
    loaded: tuple[tuple[str, str], ...] = ()
    strategy: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Other work holds the model; this starts when its turn comes.

    ahead: pieces of work before it, the running one included. work: the running one, where that is known.
    """

    ahead: int = 1
    work: Message | None = None


@dataclass(frozen=True)
class Loading:
    """Weights are being downloaded from the hub or loaded into memory; `stage` is "download" or "load".

    fraction: of the stage that is done, 0..1, None where it is unknown.
    """

    model: str
    dtype: str
    fraction: float | None = None
    stage: str = "load"


@dataclass(frozen=True)
class TextSoFar:
    """The whole answer so far, not only its new part; empty until the first token."""

    text: str


@dataclass(frozen=True)
class MemorySoFar:
    """The memory timeline so far; yielded at intervals during long runs."""

    timeline: MemoryTimeline


@dataclass(frozen=True)
class TryingRemedies:
    """The run has failed, and its remedies are being tried on the failure.

    failure: with the outcome of those that were tried. pending: the strategies that are still to be tried.
    """

    failure: Failure
    pending: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The last event of every run."""

    result: RunResult


@dataclass(frozen=True)
class FinishedBatch:
    """The last event of several questions that run as one batch.

    results: of the first questions, in their order; fewer than `size` where the batch was stopped.
    size: the number of questions that fit into memory at once.
    """

    results: tuple[RunResult, ...]
    size: int


Event = Waiting | Loading | TextSoFar | MemorySoFar | TryingRemedies | Finished
