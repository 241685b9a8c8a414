"""What the Compare tab does, as plain functions: a form in, sessions out. Nothing here knows Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.execution import ComparisonSettings, Runs, compare, memory_requests
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Question
from xcomposer_ui.planning.fit import MemoryRequest, refuse_unless_fits
from xcomposer_ui.ui.compare_session import CompareForm, CompareSession, ComparisonDoesNotFit, document_of, question_of
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.preflight import Preflight

SHORTEST_STEP_SEC = 0.2
"""As often as the tables are redrawn while a comparison goes on."""


def plan_of(form: CompareForm) -> ComparisonSettings:
    return ComparisonSettings(form.halves, form.repeats, model=form.model, device=form.device)


def compared(
    runner: Runs, form: CompareForm, preflight: Preflight | None = None, *, anyway: bool = False
) -> dict[str, Any]:
    """One comparison to its end, for the endpoint.

    Raises UserError for the user's mistakes; a strategy that does not fit is one, unless it is begun `all_the_same`.
    """
    question, plan = question_of(form), plan_of(form)
    if preflight is not None and not anyway:
        wanted = memory_requests(runner, question, plan)
        runner.open()
        refuse_unless_fits(preflight.fitting, wanted)
    comparison = Comparison(())
    for step in compare(runner, question, plan):
        comparison = step.comparison
    return document_of(form, comparison)


def steps(
    runner: Runs,
    session: CompareSession,
    form: CompareForm,
    clock: Callable[[], float] = time.monotonic,
    *,
    warm_up: bool = True,
    preflight: Preflight | None = None,
    without: tuple[Variant, ...] = (),
) -> Generator[CompareSession, None, None]:
    """Yield the session as the comparison of `form` goes on; the last one is at rest.

    foresight: judges whether every variant fits; where one does not, nothing is begun, and `unfit` says which. None:
    they are begun all the same. without: variants to leave out.
    A user's mistake ends up in `notice`, and nothing else changes. Closing the generator stops.
    """
    try:
        question = question_of(form, needs_picture=True)
        if preflight is not None:
            unfit = yield from _judged(
                runner, session, form, memory_requests(runner, question, plan_of(form)), preflight
            )
            if unfit is not None:
                yield session.refused(unfit)
                return
        told = -SHORTEST_STEP_SEC
        going = compare(runner, question, replace(plan_of(form), warm_up=warm_up, without=without))
        now = CompareSession(form, earlier=session.at_rest())
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
        yield replace(session.at_rest(), notice=error)


def _judged(
    runner: Runs, session: CompareSession, form: CompareForm, wanted: tuple[MemoryRequest, ...], preflight: Preflight
) -> Generator[CompareSession, None, ComparisonDoesNotFit | None]:
    """What does not fit, if anything; yields a step where telling takes seconds."""
    misfits = yield from preflight.judged(runner, wanted, replace(session.at_rest(), judging=True))
    return ComparisonDoesNotFit(form, wanted, misfits) if misfits else None


def steps_of_many(
    runner: Runs,
    session: CompareSession,
    form: CompareForm,
    examples: Sequence[Example],
    *,
    preflight: Preflight | None = None,
    without: tuple[Variant, ...] = (),
) -> Generator[CompareSession, None, None]:
    """As `steps`, each of `examples` once, with the settings of `form`; ends with the tally of all.

    What fits is judged once, by the longest question about the largest picture.

    Where `session` was stopped among them, under the same settings, it goes on with those that are left.
    """
    if preflight is not None:
        try:
            wanted = memory_requests(runner, _largest(form, examples), plan_of(form))
            unfit = yield from _judged(runner, session, form, wanted, preflight)
        except UserError as error:
            yield replace(session.at_rest(), notice=error)
            return
        if unfit is not None:
            yield session.refused(replace(unfit, many=True))
            return
    many = session.many if _goes_on(session, form, len(examples)) else ()
    before, warm_up = session, True
    for example in examples[len(many) :]:
        asked = replace(form, question=example.question, picture=example.picture, repeats=1)
        for session in steps(runner, before, asked, warm_up=warm_up, without=without):
            session = replace(session, many=many, many_total=len(examples))
            if session.notice is not None:
                yield session
                return
            if session.step is not None:
                yield session
        many, warm_up = (*many, without_layers(session.document or {})), False
    yield replace(session, many=many, many_total=len(examples))


def steps_of_unfit(
    runner: Runs, session: CompareSession, examples: Sequence[Example], *, only_fitting: bool = False
) -> Generator[CompareSession, None, None]:
    """As `steps` or `steps_of_many`, for what was not begun: all of it the same, or what fits alone."""
    unfit = session.unfit
    if unfit is None:  # asked twice: it is under way already, or something else was asked since
        return
    without = unfit.without if only_fitting else ()
    if unfit.many:
        yield from steps_of_many(runner, session.at_rest(), unfit.form, examples, without=without)
    else:
        yield from steps(runner, session.at_rest(), unfit.form, without=without)


def _largest(form: CompareForm, examples: Sequence[Example]) -> Question:
    """The longest question about the largest picture, with the settings of `form`: what fits for it does for all."""
    pictures = {example.picture: open_picture(example.picture) for example in examples}
    text = max((example.question for example in examples), key=len)
    image = max(pictures.values(), key=lambda picture: picture.width * picture.height)
    return replace(question_of(replace(form, question=text, picture=None)), image=image)


def _goes_on(session: CompareSession, form: CompareForm, total: int) -> bool:
    """Whether `session` has some of the `total` examples, and not all, asked with the settings of `form`."""
    if session.form is None or not 0 < len(session.many) < total:
        return False
    return replace(session.form, question="", picture=None) == replace(form, question="", picture=None, repeats=1)


def without_layers(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the modules' figures: many of them would be megabytes."""
    entries = [{k: v for k, v in d.items() if k != "layers"} for d in document["divergence"]]
    return {**document, "divergence": entries, "floor": None}
