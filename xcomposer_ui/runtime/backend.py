"""The interface between the runner and a backend, and the records that pass between the two. No torch here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.events import TryingRemedies
from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import AnswerTokens, Measurement
from xcomposer_ui.finetuning.result import Finetuning
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, FailureSite


@dataclass
class Progress:
    """Progress of a run: written by the thread that computes, read by the one that yields events.

    stage: "download", then "load"; "card" while the run waits for a card that is lent. fraction: of the stage, 0..1, or
    None. text: returns the answer so far; the reader calls it, so that decoding the tokens does not slow the model.
    memory: returns the memory timeline so far. finetuning: the results so far of a fine-tuning. trials: of
    remedies, once the run has failed. stop: set by the reader to end the run at the next token or block.
    """

    stage: str = "load"
    fraction: float | None = None
    text: Callable[[], str] | None = None
    memory: Callable[[], MemoryTimeline | None] | None = None
    finetuning: Finetuning | None = None
    trials: TryingRemedies | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def snapshot(self, *, whole: bool) -> ProgressSnapshot:
        """The progress as plain data. whole: with the memory and the fine-tuning, which are large."""
        return ProgressSnapshot(
            self.stage,
            self.fraction,
            self.text and self.text(),
            self.memory() if self.memory and whole else None,
            self.finetuning if whole else None,
            self.trials,
        )

    def show(self, snapshot: ProgressSnapshot) -> None:
        """Take over `snapshot`, of the same run in another process; what it lacks stays as it is."""
        self.stage, self.fraction, self.trials = snapshot.stage, snapshot.fraction, snapshot.trials
        if (text := snapshot.text) is not None:
            self.text = lambda: text
        if (memory := snapshot.memory) is not None:
            self.memory = lambda: memory
        if snapshot.finetuning is not None:
            self.finetuning = snapshot.finetuning


@dataclass(frozen=True)
class ProgressSnapshot:
    """A `Progress` at one moment; picklable."""

    stage: str
    fraction: float | None
    text: str | None
    memory: MemoryTimeline | None
    finetuning: Finetuning | None
    trials: TryingRemedies | None


@dataclass(frozen=True)
class CallResult:
    """How one call of the model ended: with `answer`, or with an expected failure.

    failure_type, message, traceback: of the exception, as text, because the exception itself would keep its tensors
    alive. For a silent failure the message is a Message. timeline: memory in use; None where it was not measured.
    tokens: of a whole answer; None where they were not recorded.
    reasons: why each automatic choice of the run itself ("decoder") was made.
    """

    measurement: Measurement
    answer: str | None = None
    stopped: bool = False
    failure_type: str | None = None
    message: Sentence = ""
    traceback: str = ""
    site: FailureSite = field(default_factory=FailureSite)
    timeline: MemoryTimeline | None = None
    tokens: AnswerTokens | None = None
    reasons: Mapping[str, Sentence] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchCallResult:
    """The results of the first `size` of several requests, one each; fewer if the batch was stopped.

    size: how many requests fitted into memory together.
    """

    results: tuple[CallResult, ...]
    size: int


Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Result]):
    """Something to compute with a model; picklable, because the model may be in another process.

    function: of a module; called with the backend, the progress and `arguments`.
    runs: the model's runs that it takes, at most. steps: of a fine-tuning, evaluations included.
    """

    function: Callable[..., Result]
    arguments: tuple[Any, ...]
    runs: tuple[Request, ...] = ()
    steps: int = 0


class ModelHost(Protocol):
    """One model on one device, wherever it is in memory: in this process, or in others that come and go.

    Methods raise UserError for the user's mistakes.
    """

    model: str
    device: str
    reasons: dict[str, Sentence]
    revision: str | None
    """The hub's commit of the weights; None for a folder, and before `fetch`."""

    def fetch(self, progress: Progress) -> None:
        """Download the checkpoint if it is not on this machine yet, without loading it."""

    def loaded(self) -> tuple[str, ...]:
        """The dtypes whose weights are in memory."""

    def load(self, dtype: str, progress: Progress) -> float | None:
        """Load the weights in `dtype`; returns the seconds it took, None if they were loaded already."""

    def compute(self, work: Work[Result], progress: Progress) -> Result:
        """The result of `work`, called where the model is."""

    def budget_bytes(self) -> int | None:
        """Memory that a run may use here, its weights included; None if unknown."""

    def forget(self) -> None:
        """Drop the prefix cache."""

    def unload(self) -> None:
        """Drop all weights."""


class Backend(ModelHost, Protocol):
    """A model in this process, with its weights in one or more dtypes.

    Every request that reaches a backend has its model and half dtype resolved. The model's expected failures are data
    in what the methods return.
    """

    def generate(self, request: Request, progress: Progress) -> CallResult:
        """Answer `request`, whose weights are loaded."""

    def generate_batch(self, requests: Sequence[Request], progress: Progress) -> BatchCallResult:
        """Answer as many of the first `requests` in one call as fit into memory; each result is as from `generate`.

        The requests differ only in text, picture and history, and are greedy.
        """

    def measure_divergence(
        self, request: Request, variants: Sequence[tuple[str, str]], progress: Progress
    ) -> Divergences:
        """Measure the distance of each (strategy, half) from full precision on `request`; loads the weights it needs.

        A variant that fails is listed in the `failures`.
        """

    def try_remedy(self, request: Request, progress: Progress) -> CallResult | None:
        """Answer `request` under another strategy than the run that failed; None where that would cost too much."""

    def trace_dtypes(self, request: Request, progress: Progress) -> DtypeFlow:
        """Trace the dtype flow of `request`. It ends with the failure if there is one; a stopped run's is empty."""
