"""A run as it was asked for, found good to begin, and the result that it is given in the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xcomposer_ui.backend import Backend, Outcome
from xcomposer_ui.catalogue import tiled
from xcomposer_ui.errors import UserError
from xcomposer_ui.planning.fitting import Wanted
from xcomposer_ui.question import checked_question
from xcomposer_ui.records import Failure, Question, RunResult
from xcomposer_ui.strategies import Strategy


@dataclass(frozen=True)
class Asked:
    """One question under one strategy. half_reason: why it is this 16-bit dtype."""

    question: Question
    strategy: Strategy
    half: str
    half_reason: str
    model: str

    @property
    def weights_dtype(self) -> str:
        """What the weights are held in."""
        return self.strategy.weights_dtype(self.half)

    @property
    def wanted(self) -> Wanted:
        """The run in the words of planning."""
        return wanted_of(self.question, self.model, self.strategy.name, self.half)

    def ended(self, backend: Backend, outcome: Outcome, load_sec: float | None, failure: Failure | None) -> RunResult:
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
            course=outcome.course,
            hd_num=self.question.hd_num,
        )


def fit_for(question: Question, model: str) -> Question:
    """`question` if `model` can be asked it. Raises UserError with what is wrong and what to do.

    Tiles asked of a model that is not here yet pass: they are judged when it is loaded.
    """
    checked_question(question)
    if question.hd_num is not None and tiled(model) is False:
        raise UserError("no_tiles")
    return question


def wanted_of(question: Question, model: str, strategy: str, half: str) -> Wanted:
    """`question` under `strategy`, in the words of planning."""
    length = sum(len(text) for turn in question.history for text in turn) + len(question.text)
    picture = None if question.image is None else question.image.size
    return Wanted(model, strategy, half, picture, length, question.max_new_tokens, question.hd_num)
