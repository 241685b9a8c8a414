"""A comparison that was not begun: what each strategy needs that does not fit, and what does."""

from __future__ import annotations

from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.planning.refusal import most_tiles
from xcomposer_ui.ui.compare_session import Unfit
from xcomposer_ui.ui.numbers import joined, memory
from xcomposer_ui.ui.texts import text
from xcomposer_ui.ui.views.many import name_of
from xcomposer_ui.ui.views.notice import unfit_notice


def unfit_view(unfit: Unfit | None, language: str) -> str:
    """`unfit` as a notice; empty where there is nothing to say."""
    return "" if unfit is None else unfit_notice(sentences(unfit, language))


def sentences(unfit: Unfit, language: str) -> list[str]:
    """What `unfit` says, a sentence an entry."""
    said = [text("compare.unfit", language, room=joined(memory(unfit.tights[0].room.bytes)))]
    for tight in unfit.tights:
        name = name_of(Variant(tight.wanted.strategy, tight.wanted.half), language)
        said.append(text("compare.unfit.needs", language, variant=name, needed=joined(memory(tight.needed_bytes))))
    if unfit.fitting:
        names = text("compare.unfit.comma", language).join(name_of(variant, language) for variant in unfit.fitting)
        said.append(text("compare.unfit.fits", language, variants=names))
        if not any(variant.strategy == "full" for variant in unfit.fitting):
            said.append(text("compare.unfit.no_full", language))
    if (tiles := most_tiles(unfit.tights)) is not None:
        said.append(text("fit.hd_num", language, n=tiles))
    elif not unfit.fitting:
        said.append(text("fit.nothing", language))
    return said
