"""The Compare tab's handlers as plain functions: fields in, sessions out. No Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.execution import ComparisonSettings, Runs, compare, memory_queries
from xcomposer_ui.core.callers import Gone, stays, while_wanted
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.planning.fit import refuse_unless_fits
from xcomposer_ui.ui.compare_session import CompareSession, ComparisonDoesNotFit, ComparisonRequest, document_of
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.handlers import Fields, request_from
from xcomposer_ui.ui.preflight import Preflight

SHORTEST_STEP_SEC = 0.2
"""Between two redraws of the tables."""

Sessions = Generator[CompareSession, None, None]


def comparison_request(fields: Fields, *, needs_picture: bool = False) -> ComparisonRequest:
    """The comparison with `fields`: those of Request, of ComparisonSettings, and `with_picture`.

    Raises UserError where one of them is wrong.
    """
    question, settings = split_fields(fields)
    request = request_from(question, needs_picture=needs_picture)
    return ComparisonRequest(request, ComparisonSettings(**settings), bool(fields.get("with_picture")))


def split_fields(fields: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """(those of Request, those of ComparisonSettings) among the comparison's `fields`."""
    own = {f.name for f in fields_of(ComparisonSettings)}
    question = {name: value for name, value in fields.items() if name not in own and name != "with_picture"}
    return question, {name: value for name, value in fields.items() if name in own}


def compare_once(
    runner: Runs, fields: Fields, preflight: Preflight | None = None, gone: Gone = stays, *, anyway: bool = False
) -> dict[str, Any]:
    """One whole comparison as JSON, for the endpoint; it ends where its caller is `gone`.

    Raises UserError then, and for the user's mistakes; a strategy that does not fit is one, unless `anyway` is given.
    """
    request = comparison_request(fields)
    if preflight is not None and not anyway:
        queries = memory_queries(runner, request.question, request.settings)
        runner.open()
        refuse_unless_fits(preflight.fitting, queries)
    comparison = Comparison(())
    for step in while_wanted(compare(runner, request.question, request.settings), gone):
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
    """Yield the session during a comparison; the last one is idle.

    preflight: checks that every variant fits; where one does not, nothing is run, and `misfit` has the misfits. None:
    no check. A user's mistake becomes the `notice`, and nothing else changes. Closing the generator stops the
    comparison.
    """
    try:
        request = comparison_request(fields, needs_picture=True)
        if not (yield from _refused(runner, session, request, request.question, preflight)):
            yield from _compared(runner, session, request, clock)
    except UserError as error:
        yield replace(session.idle(), notice=error)


def _compared(
    runner: Runs, session: CompareSession, request: ComparisonRequest, clock: Callable[[], float] = time.monotonic
) -> Sessions:
    """As `steps`, for a checked request that fits. Raises UserError."""
    drawn = -SHORTEST_STEP_SEC
    now = CompareSession(request, earlier=session.idle())
    with closing(compare(runner, request.question, request.settings)) as progress:
        for step in progress:
            if step != now.step:
                now = replace(now, step=step, comparison=step.comparison)
            if clock() - drawn >= SHORTEST_STEP_SEC:
                drawn = clock()
                yield now
    yield now.ended()


def _refused(
    runner: Runs,
    session: CompareSession,
    request: ComparisonRequest,
    largest: Request,
    preflight: Preflight | None,
    *,
    batch: bool = False,
) -> Generator[CompareSession, None, bool]:
    """Whether there are variants under which `largest` does not fit; the last session yielded has them then."""
    if preflight is None:
        return False
    queries = memory_queries(runner, largest, request.settings)
    misfits = yield from preflight.misfits(runner, queries, replace(session.idle(), checking_fit=True))
    if misfits:
        yield replace(session.idle(), misfit=ComparisonDoesNotFit(request, queries, misfits, batch))
    return bool(misfits)


def batch_steps(
    runner: Runs,
    session: CompareSession,
    fields: Fields,
    examples: Sequence[Example],
    *,
    preflight: Preflight | None = None,
) -> Sessions:
    """As `steps`, for each of `examples` once, with the settings of `fields`.

    Whether they fit is checked once, for the longest question about the largest picture. A `session` that was stopped
    among the examples, under the same settings, continues with the rest.
    """
    try:
        largest = _largest(examples)
        request = comparison_request({**fields, "text": largest.text, "file": None, "repeats": 1})
        about_largest = replace(request.question, image=largest.image)
        if not (yield from _refused(runner, session, request, about_largest, preflight, batch=True)):
            yield from _compared_batch(runner, session, request, examples)
    except UserError as error:
        yield replace(session.idle(), notice=error)


def _compared_batch(
    runner: Runs, session: CompareSession, request: ComparisonRequest, examples: Sequence[Example]
) -> Sessions:
    """As `batch_steps`, for a checked request that fits. Raises UserError."""
    batch = session.batch if _continues(session, request, len(examples)) else ()
    before, total = session, len(examples)
    for n, example in enumerate(examples[len(batch) :]):
        image = open_picture(example.picture)
        question = replace(request.question, text=example.question, file=example.picture, image=image)
        one = replace(request, question=question, settings=replace(request.settings, warm_up=n == 0))
        for session in _compared(runner, before, one):
            session = replace(session, batch=batch, batch_total=total)
            if session.step is not None:
                yield session
        batch = (*batch, without_layers(session.document or {}))
    yield replace(session, batch=batch, batch_total=total)


def steps_of_misfit(
    runner: Runs, session: CompareSession, examples: Sequence[Example], *, only_fitting: bool = False
) -> Sessions:
    """As `steps` or `batch_steps`, for the comparison in `misfit`: all of it without a check, or only what fits."""
    misfit = session.misfit
    if misfit is None:  # a second click: a comparison has started since
        return
    without = misfit.without if only_fitting else ()
    request = replace(misfit.refused, settings=replace(misfit.refused.settings, without=without))
    try:
        if misfit.batch:
            yield from _compared_batch(runner, session.idle(), request, examples)
        else:
            yield from _compared(runner, session.idle(), request)
    except UserError as error:
        yield replace(session.idle(), notice=error)


def _largest(examples: Sequence[Example]) -> Request:
    """The longest question about the largest picture: where it fits, all examples do."""
    pictures = {example.picture: open_picture(example.picture) for example in examples}
    image = max(pictures.values(), key=lambda picture: picture.width * picture.height)
    return Request(max((example.question for example in examples), key=len), image)


def _continues(session: CompareSession, request: ComparisonRequest, total: int) -> bool:
    """Whether `session` has compared some, not all, of the `total` examples with the settings of `request`."""
    if session.request is None or not 0 < len(session.batch) < total:
        return False
    return _settings_alone(session.request) == _settings_alone(request)


def _settings_alone(request: ComparisonRequest) -> ComparisonRequest:
    """`request` without what differs from one example to the next: question, picture, warm-up and variants."""
    question = replace(request.question, text="?", image=None, file=None)
    return replace(request, question=question, settings=replace(request.settings, warm_up=True, without=()))


def without_layers(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the figures of each module: those of many documents would be megabytes."""
    entries = [{k: v for k, v in d.items() if k != "layers"} for d in document["divergence"]]
    return {**document, "divergence": entries, "floor": None}
