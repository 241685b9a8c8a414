"""What one visitor's Compare tab holds: frozen records, made anew at each step, never shared between visitors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import about
from xcomposer_ui.compare.execution import ComparisonProgress
from xcomposer_ui.compare.schedule import REPEATS, Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Question
from xcomposer_ui.planning.fit import DoesNotFit, MemoryRequest


@dataclass(frozen=True)
class CompareForm:
    """What the tab's controls say. picture: a path on the server, or None. halves: () for the lab's choice.
    hd_num: None for the model's own.

    with_picture: whether reports hold the picture itself.
    """

    question: str
    picture: str | None
    halves: tuple[str, ...] = ()
    repeats: int = REPEATS
    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    model: str | None = None
    device: str | None = None
    with_picture: bool = False
    hd_num: int | None = None


@dataclass(frozen=True)
class ComparisonDoesNotFit:
    """A comparison that was not begun, because some of its variants do not fit.

    form: that asked for it. many: whether of the examples. wanted: the run of each variant. tights: of those that do
    not fit.
    """

    form: CompareForm
    wanted: tuple[MemoryRequest, ...]
    misfits: tuple[DoesNotFit, ...]
    many: bool = False

    @property
    def without(self) -> tuple[Variant, ...]:
        """The variants that do not fit."""
        return tuple(Variant(misfit.wanted.strategy, misfit.wanted.half) for misfit in self.misfits)

    @property
    def fitting(self) -> tuple[Variant, ...]:
        """The variants that do."""
        variants = (Variant(run.strategy, run.half) for run in self.wanted)
        return tuple(variant for variant in variants if variant not in self.without)


@dataclass(frozen=True)
class CompareSession:
    """What one visitor's tab holds.

    step: of the comparison in progress, None at rest. comparison, document: the last one's, as far as it came.
    earlier: what the tab held before; a stop before anything was measured brings it back.
    judging: whether it is being planned what fits; unfit: what was not begun for that, until the next comparison.
    many: the documents of the examples compared so far, without their layers; many_total: of how many.
    """

    form: CompareForm | None = None
    step: ComparisonProgress | None = None
    comparison: Comparison | None = None
    document: Mapping[str, Any] | None = None
    many: tuple[Mapping[str, Any], ...] = ()
    many_total: int = 0
    notice: UserError | None = None
    earlier: CompareSession | None = None
    judging: bool = False
    unfit: ComparisonDoesNotFit | None = None

    def at_rest(self) -> CompareSession:
        """The session with nothing in progress and nothing to say of what was asked before."""
        return replace(self, step=None, notice=None, earlier=None, judging=False, unfit=None)

    def refused(self, unfit: ComparisonDoesNotFit) -> CompareSession:
        """The session with a comparison not begun; what it held stays."""
        return replace(self.at_rest(), unfit=unfit)

    def ended(self, stopped: bool = False) -> CompareSession:
        """The session at rest, with the document of what was measured."""
        comparison = self.comparison
        measured = comparison is not None and comparison.runs
        if stopped and not measured and not self.many_total and self.earlier is not None:
            return self.earlier
        if comparison is not None and self.step is not None:
            comparison = replace(comparison, stopped=stopped)
        ended = replace(self, step=None, comparison=comparison, earlier=None)
        if comparison is None or not comparison.runs or self.form is None:
            return ended
        return replace(ended, document=document_of(self.form, comparison))


def question_of(form: CompareForm, *, needs_picture: bool = False) -> Question:
    """The question that `form` asks. Raises UserError where there is none, or its picture is none."""
    if not form.question.strip():
        raise UserError("empty_question")
    if needs_picture and form.picture is None:
        raise UserError("no_picture")
    return Question(
        text=form.question,
        image=open_picture(form.picture) if form.picture is not None else None,
        max_new_tokens=form.max_new_tokens,
        temperature=form.temperature,
        seed=form.seed,
        hd_num=form.hd_num,
    )


def document_of(form: CompareForm, comparison: Comparison) -> dict[str, Any]:
    """The self-contained JSON of a comparison of `form`."""
    # The name under which the page keeps a picture is none of its; its bytes are.
    more = about(question_of(form), comparison, file=form.picture, with_picture=form.with_picture)
    return comparison_as_json(comparison, more)
