"""Notices: a user's mistake, and a run or a comparison that does not fit into memory."""

from __future__ import annotations

from markupsafe import Markup

from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import REFERENCE, strategy_name
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.fit import DoesNotFit, fitting_tiles
from xcomposer_ui.ui.compare_session import ComparisonDoesNotFit
from xcomposer_ui.ui.html import macro
from xcomposer_ui.ui.views.batch_summary import name_of

ABOUT_QUESTION = ("empty_question", "long_question", "control_token", "image_marks")
"""Codes of mistakes in the question's text."""


def notice(error: UserError | None, language: str) -> Markup:
    """`error` as an alert that a screen reader announces; empty where there is none.

    It names the field that it is about, to which the page moves the focus.
    """
    return Markup() if error is None else macro("notice", language, error.in_language(language), field_of(error))


def field_of(error: UserError) -> str | None:
    """The element id of the control that `error` is about, without the tab's prefix; None where there is none."""
    if error.code in ("out_of_range", "not_whole"):
        return str(error.facts["name"]).partition(" ")[0].replace("_", "-")
    if error.code == "bad_picture_size":
        return "image"
    if error.code == "no_picture" or error.code.startswith("picture_"):
        return "picture"
    return "question" if error.code in ABOUT_QUESTION else None


def does_not_fit_notice(misfit: DoesNotFit | ComparisonDoesNotFit | None, language: str) -> Markup:
    """What does not fit as an alert, a paragraph a sentence; empty where everything fits."""
    if misfit is None:
        return Markup()
    return macro("does_not_fit_notice", language, does_not_fit_sentences(misfit, language))


def does_not_fit_sentences(misfit: DoesNotFit | ComparisonDoesNotFit, language: str) -> list[str]:
    """What does not fit, and what fits instead."""
    if isinstance(misfit, ComparisonDoesNotFit):
        return _comparison_sentences(misfit, language)
    facts = {
        "strategy": strategy_name(misfit.request.strategy, language),
        "room": joined(memory(misfit.budget.bytes)),
        "needed": joined(memory(misfit.needed_bytes)),
        "measured": joined(memory(misfit.measured_bytes)),
    }
    codes = ["fit.no"]
    if misfit.measured_bytes is not None:
        codes = ["fit.ran_out", "fit.elsewhere" if misfit.needed_bytes is None else "fit.planned"]
    sentences = [text(code, language, **facts) for code in codes]
    advice = misfit.advice
    if advice.strategy is not None:
        sentences.append(text("fit.strategy", language, strategy=strategy_name(advice.strategy, language)))
    if advice.tiles:
        sentences.append(text("fit.tiles", language, n=advice.tiles))
    if advice.batch:
        sentences.append(text("fit.batch", language, n=advice.batch))
    if misfit.needed_bytes is not None and not (advice.strategy or advice.tiles or advice.batch):
        sentences.append(text("fit.nothing", language))
    return sentences


def _comparison_sentences(refused: ComparisonDoesNotFit, language: str) -> list[str]:
    sentences = [text("compare.does_not_fit", language, room=joined(memory(refused.misfits[0].budget.bytes)))]
    for misfit in refused.misfits:
        name = name_of(Variant(misfit.request.strategy, misfit.request.half), language)
        needed = joined(memory(misfit.needed_bytes))
        sentences.append(text("compare.does_not_fit.needs", language, variant=name, needed=needed))
    if refused.fitting:
        comma = text("compare.does_not_fit.comma", language)
        names = comma.join(name_of(variant, language) for variant in refused.fitting)
        sentences.append(text("compare.does_not_fit.fits", language, variants=names))
        if not any(variant.strategy == REFERENCE for variant in refused.fitting):
            sentences.append(text("compare.does_not_fit.no_full", language))
    if (tiles := fitting_tiles(refused.misfits)) is not None:
        sentences.append(text("fit.tiles", language, n=tiles))
    elif not refused.fitting:
        sentences.append(text("fit.nothing", language))
    return sentences
