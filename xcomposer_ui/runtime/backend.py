"""What the runner asks of a backend: the interface, and the records that pass between the two. No torch here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import Measurement, Operand
from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.tracing.dtype_flow import DtypeFlow


@dataclass
class Progress:
    """How far a run has come: written by the thread that works, read by the one that tells.

    stage: "download", then "load". fraction: of the stage, 0..1, or None. text: gives the answer so far when called;
    decoding is left to the reader, so that it takes no time from the model. memory: gives how the memory went so far,
    likewise. stop: set by the reader to end the run at the next token or block.
    """

    stage: str = "load"
    fraction: float | None = None
    text: Callable[[], str] | None = None
    memory: Callable[[], MemoryTimeline | None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class FailureSite:
    """Where an operation failed, as the run itself saw it. None and () where it could not be seen."""

    module: str | None = None
    operation: str | None = None
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class CallResult:
    """How one call of the model ended: with `answer`, or with an expected failure.

    failure_type, message, traceback: of the exception, as text; holding the exception would hold its tensors. Of a
    silent failure the message is a Message. timeline: memory in use; None where it was not measured.
    """

    measurement: Measurement
    answer: str | None = None
    stopped: bool = False
    failure_type: str | None = None
    message: Sentence = ""
    traceback: str = ""
    site: FailureSite = FailureSite()
    timeline: MemoryTimeline | None = None


@dataclass(frozen=True)
class BatchCallResult:
    """What became of the first of several questions. outcomes: one each, none for those that a stop came before.

    size: how many at once memory allowed, at most as many as were asked.
    """

    outcomes: tuple[CallResult, ...]
    size: int


class Backend(Protocol):
    """One model on one device, with its weights in as many dtypes as were asked for."""

    model: str
    device: str
    reasons: dict[str, Sentence]
    revision: str | None
    """The hub's commit that the weights are of; None for a folder, and before `fetch`."""

    def fetch(self, progress: Progress) -> None:
        """Bring the checkpoint to this machine, where it is not here yet; nothing is loaded.

        Raises UserError where it cannot be had.
        """

    def loaded(self) -> tuple[str, ...]:
        """The dtypes whose weights are in memory."""

    def load(self, dtype: str, progress: Progress) -> float | None:
        """Bring the weights in `dtype` into memory; the seconds it took, None where they were there.

        Raises UserError where the checkpoint is missing or broken.
        """

    def answer(self, question: Question, strategy: Strategy, half: str, progress: Progress) -> CallResult:
        """Ask the model. Raises UserError for the user's mistakes; the model's expected failures are in the Outcome."""

    def answer_first(
        self, questions: Sequence[Question], strategy: Strategy, half: str, progress: Progress
    ) -> BatchCallResult:
        """Ask the first of `questions` at once, as many as fit; each outcome is as `answer` gives it.

        They have the same settings, and are greedy. Raises UserError as `answer` does.
        """

    def diverge(self, question: Question, variants: Sequence[tuple[Strategy, str]], progress: Progress) -> Divergences:
        """How far each (strategy, half) is from full precision on `question`; loads what it needs.

        A variant that fails is in the `failures`. Raises UserError as `load` does.
        """

    def trial(
        self, question: Question, strategy: Strategy, half: str, progress: Progress, tokens: int
    ) -> CallResult | None:
        """The question under another strategy, as far as its first `tokens`; None where that would cost too much."""

    def flow(self, question: Question, strategy: Strategy, half: str, progress: Progress, tokens: int) -> DtypeFlow:
        """The question once more, traced, as far as its first `tokens`; a failure ends the flow and is in it.

        A stopped run's flow is empty. Raises UserError as `answer` does.
        """

    def budget_bytes(self) -> int | None:
        """Memory that a run may take here, its weights included; None where it cannot be told."""

    def forget(self) -> None:
        """Let go of what was kept of conversations for their next turns."""

    def unload(self) -> None:
        """Give all weights back."""
