"""What the Compare tab does, as plain functions: a form in, sessions out. Nothing here knows Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.compare.about import about
from xcomposer_ui.compare.comparing import Plan, Runs, Step, compare
from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.schedule import REPEATS
from xcomposer_ui.errors import UserError
from xcomposer_ui.images import open_picture
from xcomposer_ui.records import Question
from xcomposer_ui.ui.examples import Example

SHORTEST_STEP_SEC = 0.2
"""As often as the tables are redrawn while a comparison goes on."""


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
class CompareSession:
    """What one visitor's tab holds.

    step: of the comparison in progress, None at rest. comparison, document: the last one's, as far as it came.
    earlier: what the tab held before; a stop before anything was measured brings it back.
    many: the documents of the examples compared so far, without their layers; many_total: of how many.
    """

    form: CompareForm | None = None
    step: Step | None = None
    comparison: Comparison | None = None
    document: Mapping[str, Any] | None = None
    many: tuple[Mapping[str, Any], ...] = ()
    many_total: int = 0
    notice: UserError | None = None
    earlier: CompareSession | None = None

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


def plan_of(form: CompareForm) -> Plan:
    return Plan(form.halves, form.repeats, model=form.model, device=form.device)


def document_of(form: CompareForm, comparison: Comparison) -> dict[str, Any]:
    """The self-contained JSON of a comparison of `form`."""
    # The name under which the page keeps a picture is none of its; its bytes are.
    more = about(question_of(form), comparison, file=form.picture, with_picture=form.with_picture)
    return comparison_as_json(comparison, more)


def compared(runner: Runs, form: CompareForm) -> dict[str, Any]:
    """One comparison to its end, for the endpoint. Raises UserError for the user's mistakes."""
    comparison = Comparison(())
    for step in compare(runner, question_of(form), plan_of(form)):
        comparison = step.comparison
    return document_of(form, comparison)


def steps(
    runner: Runs,
    session: CompareSession,
    form: CompareForm,
    clock: Callable[[], float] = time.monotonic,
    *,
    warm_up: bool = True,
) -> Generator[CompareSession, None, None]:
    """Yield the session as the comparison of `form` goes on; the last one is at rest.

    A user's mistake ends up in `notice`, and nothing else changes. Closing the generator stops.
    """
    try:
        question = question_of(form, needs_picture=True)
        told = -SHORTEST_STEP_SEC
        going = compare(runner, question, replace(plan_of(form), warm_up=warm_up))
        now = CompareSession(form, earlier=replace(session, step=None, notice=None, earlier=None))
        try:
            for step in going:
                now = replace(now, step=step, comparison=step.comparison)
                if clock() - told >= SHORTEST_STEP_SEC:
                    told = clock()
                    yield now
        finally:
            going.close()
        yield now.ended()
    except UserError as error:
        yield replace(session, step=None, notice=error)


def steps_of_many(
    runner: Runs, session: CompareSession, form: CompareForm, examples: Sequence[Example]
) -> Generator[CompareSession, None, None]:
    """As `steps`, each of `examples` once, with the settings of `form`; ends with the tally of all.

    Where `session` was stopped among them, under the same settings, it goes on with those that are left.
    """
    many = session.many if _goes_on(session, form, len(examples)) else ()
    before, warm_up = session, True
    for example in examples[len(many) :]:
        asked = replace(form, question=example.question, picture=example.picture, repeats=1)
        for session in steps(runner, before, asked, warm_up=warm_up):
            session = replace(session, many=many, many_total=len(examples))
            if session.notice is not None:
                yield session
                return
            if session.step is not None:
                yield session
        many, warm_up = (*many, without_layers(session.document or {})), False
    yield replace(session, many=many, many_total=len(examples))


def _goes_on(session: CompareSession, form: CompareForm, total: int) -> bool:
    """Whether `session` has some of the `total` examples, and not all, asked with the settings of `form`."""
    if session.form is None or not 0 < len(session.many) < total:
        return False
    return replace(session.form, question="", picture=None) == replace(form, question="", picture=None, repeats=1)


def without_layers(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the modules' figures: many of them would be megabytes."""
    entries = [{k: v for k, v in d.items() if k != "layers"} for d in document["divergence"]]
    return {**document, "divergence": entries, "floor": None}
