"""A run that does not fit: what it needs, what there is, what fits instead."""

from __future__ import annotations

from xcomposer_ui.planning.fitting import Tight
from xcomposer_ui.ui.numbers import joined, memory
from xcomposer_ui.ui.plan_names import strategy_name
from xcomposer_ui.ui.texts import text
from xcomposer_ui.ui.views.notice import unfit_notice


def tight_view(tight: Tight | None, language: str) -> str:
    """`tight` as a notice; empty where there is nothing to say."""
    return "" if tight is None else unfit_notice(sentences(tight, language))


def sentences(tight: Tight, language: str) -> list[str]:
    """What `tight` says, a sentence an entry."""
    facts = {
        "strategy": strategy_name(tight.wanted.strategy, language),
        "room": joined(memory(tight.room.bytes)),
        "needed": joined(memory(tight.needed_bytes)),
        "measured": joined(memory(tight.measured_bytes)),
    }
    if tight.measured_bytes is None:
        said = [_said("fit.no", language, facts)]
    else:
        said = [_said("fit.ran_out", language, facts)]
        said.append(_said("fit.elsewhere" if tight.needed_bytes is None else "fit.planned", language, facts))
    advice = tight.advice
    if advice.strategy is not None:
        said.append(text("fit.strategy", language, strategy=strategy_name(advice.strategy, language)))
    if advice.hd_num:
        said.append(text("fit.hd_num", language, n=advice.hd_num))
    if advice.batch:
        said.append(text("fit.batch", language, n=advice.batch))
    if tight.needed_bytes is not None and not (advice.strategy or advice.hd_num or advice.batch):
        said.append(text("fit.nothing", language))
    return said


def _said(key: str, language: str, facts: dict[str, str]) -> str:
    named = {name: fact for name, fact in facts.items() if f"{{{name}}}" in text(key, language)}
    return text(key, language, **named)
