"""What to do where a run does not fit: the strategy that needs least, a smaller batch, fewer tiles."""

from __future__ import annotations

from dataclasses import dataclass

from xcomposer_ui.planning.records import Plan, StrategyPlan
from xcomposer_ui.strategies import STRATEGIES


@dataclass(frozen=True)
class Advice:
    """What fits instead of `wanted`: each field None where it does not help. fits: whether `wanted` itself does.

    strategy: one that fits as asked. batch, hd_num: the largest with which `wanted` fits.
    """

    wanted: str
    fits: bool | None
    strategy: str | None = None
    batch: int | None = None
    hd_num: int | None = None


def advise(plan: Plan, wanted: str) -> Advice:
    """What to run instead of the strategy `wanted` where it does not fit the plan's memory.

    Of the strategies that fit, the first in the lab's own order that gives an answer is offered.
    Raises KeyError where the plan has no such strategy.
    """
    by_name = {s.strategy: s for s in plan.strategies}
    chosen = by_name[wanted]
    if chosen.fits_memory is not False:
        return Advice(wanted, chosen.fits_memory)
    return Advice(
        wanted,
        False,
        strategy=next((name for name in STRATEGIES if name != wanted and _helps(by_name.get(name))), None),
        batch=chosen.largest_batch if chosen.largest_batch and plan.request.batch > 1 else None,
        hd_num=chosen.largest_hd_num,
    )


def _helps(other: StrategyPlan | None) -> bool:
    return other is not None and other.fits_memory is True and other.fails_in is None
