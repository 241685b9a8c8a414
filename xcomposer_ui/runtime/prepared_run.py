"""A run as it was asked for, found good to begin, and the result that it is given in the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Question, checked_question
from xcomposer_ui.core.result import Failure, RunResult
from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.planning.fit import MemoryRequest
from xcomposer_ui.runtime.backend import Backend, CallResult


@dataclass(frozen=True)
class PreparedRun:
    """One question under one strategy. half_reason: why it is this 16-bit dtype."""

    question: Question
    strategy: Strategy
    half: str
    half_reason: Sentence
    model: str

    @property
    def weights_dtype(self) -> str:
        """What the weights are held in."""
        return self.strategy.weights_dtype(self.half)

    @property
    def wanted(self) -> MemoryRequest:
        """The run in the words of planning."""
        return memory_request(self.question, self.model, self.strategy.name, self.half)

    def ended(
        self, backend: Backend, outcome: CallResult, load_sec: float | None, failure: Failure | None
    ) -> RunResult:
        """`outcome` with all that was decided before it. failure: explained, None where it did not fail."""
        image = self.question.image
        return RunResult(
            strategy=self.strategy.name,
            half=self.half,
            model=backend.model,
            device=backend.device,
            weights_dtype=self.weights_dtype,
            seed=self.question.seed,
            measurement=replace(outcome.measurement, load_sec=load_sec),
            answer=outcome.answer,
            failure=failure,
            stopped=outcome.stopped,
            reasons={**backend.reasons, "half": self.half_reason},
            picture_size=None if image is None else image.size,
            revision=backend.revision,
            timeline=outcome.timeline,
            hd_num=self.question.hd_num,
        )


def checked_for_model(question: Question, model: str) -> Question:
    """`question` if `model` can be asked it. Raises UserError with what is wrong and what to do.

    Tiles asked of a model that is not here yet pass: they are judged when it is loaded.
    """
    checked_question(question)
    if question.hd_num is not None and tiled(model) is False:
        raise UserError("no_tiles")
    return question


def memory_request(question: Question, model: str, strategy: str, half: str) -> MemoryRequest:
    """`question` under `strategy`, in the words of planning."""
    length = sum(len(text) for turn in question.history for text in turn) + len(question.text)
    picture = None if question.image is None else question.image.size
    return MemoryRequest(model, strategy, half, picture, length, question.max_new_tokens, question.hd_num)
