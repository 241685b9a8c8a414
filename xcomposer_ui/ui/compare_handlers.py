"""The Compare tab's handlers as plain functions: fields in, sessions out. Nothing here knows Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.execution import ComparisonSettings, Runs, compare, memory_queries
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.planning.fit import refuse_unless_fits
from xcomposer_ui.ui.compare_session import CompareSession, ComparisonDoesNotFit, ComparisonRequest, document_of
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.handlers import Fields, request_from
from xcomposer_ui.ui.preflight import Preflight

SHORTEST_STEP_SEC = 0.2
"""Between two redraws of the tables during a comparison."""

Sessions = Generator[CompareSession, None, None]


def comparison_request(fields: Fields, *, needs_picture: bool = False) -> ComparisonRequest:
    """The comparison with `fields`: those of Request, of ComparisonSettings, and `with_picture`.

    Raises UserError where one of them is wrong.
    """
    own = {f.name for f in fields_of(ComparisonSettings)}
    question = {name: value for name, value in fields.items() if name not in own and name != "with_picture"}
    settings = ComparisonSettings(**{name: value for name, value in fields.items() if name in own})
    request = request_from(question, needs_picture=needs_picture)
    return ComparisonRequest(request, settings, bool(fields.get("with_picture")))


def compared(
    runner: Runs, fields: Fields, preflight: Preflight | None = None, *, anyway: bool = False
) -> dict[str, Any]:
    """One comparison to its end, for the endpoint.

    Raises UserError for the user's mistakes; a strategy that does not fit is one, unless `anyway` is given.
    """
    request = comparison_request(fields)
    if preflight is not None and not anyway:
        queries = memory_queries(runner, request.question, request.settings)
        runner.open()
        refuse_unless_fits(preflight.fitting, queries)
    comparison = Comparison(())
    for step in compare(runner, request.question, request.settings):
        comparison = step.comparison
    return document_of(request, comparison)


def steps(
    runner: Runs,
    session: CompareSession,
    fields: Fields,
    clock: Callable[[], float] = time.monotonic,
    *,
    preflight: Preflight | None = None,
) -> Sessions:
    """Yield the session during a comparison; the last one is at rest.

    preflight: judges whether every variant fits; where one does not, nothing is begun, and `unfit` says which. None:
    they are begun in any case.
    A user's mistake ends up in `notice`, and nothing else changes. Closing the generator stops.
    """
    try:
        request = comparison_request(fields, needs_picture=True)
        if preflight is not None:
            unfit = yield from _judged(runner, session, request, request.question, preflight)
            if unfit is not None:
                yield session.refused(unfit)
                return
        yield from _compared(runner, session, request, clock)
    except UserError as error:
        yield replace(session.at_rest(), notice=error)


def _compared(
    runner: Runs, session: CompareSession, request: ComparisonRequest, clock: Callable[[], float] = time.monotonic
) -> Sessions:
    """As `steps`, of a request that is checked and judged. Raises UserError."""
    drawn = -SHORTEST_STEP_SEC
    now = CompareSession(request, earlier=session.at_rest())
    progress = compare(runner, request.question, request.settings)
    try:
        for step in progress:
            now = replace(now, step=step, comparison=step.comparison)
            if clock() - drawn >= SHORTEST_STEP_SEC:
                drawn = clock()
                yield now
    finally:
        progress.close()
    yield now.ended()


def _judged(
    runner: Runs, session: CompareSession, request: ComparisonRequest, largest: Request, preflight: Preflight
) -> Generator[CompareSession, None, ComparisonDoesNotFit | None]:
    """What does not fit of `largest` under each variant, if anything; yields a step where judging takes seconds."""
    queries = memory_queries(runner, largest, request.settings)
    misfits = yield from preflight.judged(runner, queries, replace(session.at_rest(), judging=True))
    return ComparisonDoesNotFit(request, queries, misfits) if misfits else None


def steps_of_many(
    runner: Runs,
    session: CompareSession,
    fields: Fields,
    examples: Sequence[Example],
    *,
    preflight: Preflight | None = None,
) -> Sessions:
    """As `steps`, each of `examples` once, with the settings of `fields`; ends with the tally of all.

    What fits is judged once, by the longest question about the largest picture. Where `session` was stopped among
    the examples, under the same settings, it continues with those that are left.
    """
    try:
        largest = _largest(examples)
        request = comparison_request({**fields, "text": largest.text, "file": None, "repeats": 1})
        if preflight is not None:
            about_largest = replace(request.question, image=largest.image)
            unfit = yield from _judged(runner, session, request, about_largest, preflight)
            if unfit is not None:
                yield session.refused(replace(unfit, many=True))
                return
        yield from _compared_many(runner, session, request, examples)
    except UserError as error:
        yield replace(session.at_rest(), notice=error)


def _compared_many(
    runner: Runs, session: CompareSession, request: ComparisonRequest, examples: Sequence[Example]
) -> Sessions:
    """As `steps_of_many`, of a request that is checked and judged. Raises UserError."""
    many = session.many if _continues(session, request, len(examples)) else ()
    before, total = session, len(examples)
    for n, example in enumerate(examples[len(many) :]):
        image = open_picture(example.picture)
        question = replace(request.question, text=example.question, file=example.picture, image=image)
        one = replace(request, question=question, settings=replace(request.settings, warm_up=n == 0))
        for session in _compared(runner, before, one):
            session = replace(session, many=many, many_total=total)
            if session.step is not None:
                yield session
        many = (*many, without_layers(session.document or {}))
    yield replace(session, many=many, many_total=total)


def steps_of_unfit(
    runner: Runs, session: CompareSession, examples: Sequence[Example], *, only_fitting: bool = False
) -> Sessions:
    """As `steps` or `steps_of_many`, for what was not begun: all of it in any case, or only what fits."""
    unfit = session.unfit
    if unfit is None:  # a second click: it is in progress already, or another comparison was begun since
        return
    without = unfit.without if only_fitting else ()
    request = replace(unfit.refused, settings=replace(unfit.refused.settings, without=without))
    try:
        if unfit.many:
            yield from _compared_many(runner, session.at_rest(), request, examples)
        else:
            yield from _compared(runner, session.at_rest(), request)
    except UserError as error:
        yield replace(session.at_rest(), notice=error)


def _largest(examples: Sequence[Example]) -> Request:
    """The longest question about the largest picture: what fits for it does for all."""
    pictures = {example.picture: open_picture(example.picture) for example in examples}
    image = max(pictures.values(), key=lambda picture: picture.width * picture.height)
    return Request(max((example.question for example in examples), key=len), image)


def _continues(session: CompareSession, request: ComparisonRequest, total: int) -> bool:
    """Whether `session` has some of the `total` examples, and not all, compared with the settings of `request`."""
    if session.request is None or not 0 < len(session.many) < total:
        return False
    return _settings_alone(session.request) == _settings_alone(request)


def _settings_alone(request: ComparisonRequest) -> ComparisonRequest:
    """`request` without its question and picture, and what changes from one example to the next."""
    question = replace(request.question, text="?", image=None, file=None)
    return replace(request, question=question, settings=replace(request.settings, warm_up=True, without=()))


def without_layers(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the modules' figures: many of them would be megabytes."""
    entries = [{k: v for k, v in d.items() if k != "layers"} for d in document["divergence"]]
    return {**document, "divergence": entries, "floor": None}
