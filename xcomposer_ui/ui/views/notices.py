"""Notices: a user's mistake, and a run or a comparison that does not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.fit import DoesNotFit, largest_hd_num
from xcomposer_ui.ui.compare_session import ComparisonDoesNotFit
from xcomposer_ui.ui.plan_names import strategy_name
from xcomposer_ui.ui.views.batch_summary import name_of
from xcomposer_ui.ui.views.marks import escaped


def notice(error: UserError | None, language: str) -> str:
    """`error` as an alert that a screen reader announces; empty where there is none."""
    return "" if error is None else f'<p class="xl-notice" role="alert">{escaped(error.in_language(language))}</p>'


def unfit_notice(sentences: Sequence[str]) -> str:
    """`sentences` as an alert about what does not fit, a paragraph each."""
    said = "".join(f"<p>{escaped(sentence)}</p>" for sentence in sentences)
    return f'<div class="xl-notice xl-tight" role="alert">{said}</div>'


def does_not_fit_notice(misfit: DoesNotFit | None, language: str) -> str:
    """`tight` as a notice; empty where there is nothing to say."""
    return "" if misfit is None else unfit_notice(does_not_fit_sentences(misfit, language))


def does_not_fit_sentences(misfit: DoesNotFit, language: str) -> list[str]:
    """What `tight` says, a sentence an entry."""
    facts = {
        "strategy": strategy_name(misfit.wanted.strategy, language),
        "room": joined(memory(misfit.room.bytes)),
        "needed": joined(memory(misfit.needed_bytes)),
        "measured": joined(memory(misfit.measured_bytes)),
    }
    if misfit.measured_bytes is None:
        said = [_said("fit.no", language, facts)]
    else:
        said = [_said("fit.ran_out", language, facts)]
        said.append(_said("fit.elsewhere" if misfit.needed_bytes is None else "fit.planned", language, facts))
    advice = misfit.advice
    if advice.strategy is not None:
        said.append(text("fit.strategy", language, strategy=strategy_name(advice.strategy, language)))
    if advice.hd_num:
        said.append(text("fit.hd_num", language, n=advice.hd_num))
    if advice.batch:
        said.append(text("fit.batch", language, n=advice.batch))
    if misfit.needed_bytes is not None and not (advice.strategy or advice.hd_num or advice.batch):
        said.append(text("fit.nothing", language))
    return said


def _said(key: str, language: str, facts: dict[str, str]) -> str:
    named = {name: fact for name, fact in facts.items() if f"{{{name}}}" in text(key, language)}
    return text(key, language, **named)


def comparison_does_not_fit_notice(unfit: ComparisonDoesNotFit | None, language: str) -> str:
    """`unfit` as a notice; empty where there is nothing to say."""
    return "" if unfit is None else unfit_notice(comparison_does_not_fit_sentences(unfit, language))


def comparison_does_not_fit_sentences(unfit: ComparisonDoesNotFit, language: str) -> list[str]:
    """What `unfit` says, a sentence an entry."""
    said = [text("compare.unfit", language, room=joined(memory(unfit.misfits[0].room.bytes)))]
    for misfit in unfit.misfits:
        name = name_of(Variant(misfit.wanted.strategy, misfit.wanted.half), language)
        said.append(text("compare.unfit.needs", language, variant=name, needed=joined(memory(misfit.needed_bytes))))
    if unfit.fitting:
        names = text("compare.unfit.comma", language).join(name_of(variant, language) for variant in unfit.fitting)
        said.append(text("compare.unfit.fits", language, variants=names))
        if not any(variant.strategy == "full" for variant in unfit.fitting):
            said.append(text("compare.unfit.no_full", language))
    if (tiles := largest_hd_num(unfit.misfits)) is not None:
        said.append(text("fit.hd_num", language, n=tiles))
    elif not unfit.fitting:
        said.append(text("fit.nothing", language))
    return said
