"""Refuses runs that will not fit where nobody is there to be asked: a script's call, the command line."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.errors import UserError
from xcomposer_ui.planning.fitting import Fitting, Tight, Wanted
from xcomposer_ui.planning.sizes import gibibytes


def refuse_unfit(fitting: Fitting, wanted: Sequence[Wanted]) -> None:
    """Raise UserError where some of `wanted` will not fit, with what does. Takes seconds where it has to plan."""
    if tights := fitting.before_each(wanted):
        raise refusal(tights, wanted)


def refusal(tights: Sequence[Tight], wanted: Sequence[Wanted]) -> UserError:
    """The mistake of asking for `wanted`, of which `tights` do not fit.

    It names the strategies that fit: those asked for, else the one advised; and as many tiles as let all of them fit.
    """
    needs = ", ".join(
        f"{tight.wanted.strategy} {gibibytes(tight.needed_bytes)}" for tight in tights if tight.needed_bytes is not None
    )
    room = gibibytes(tights[0].room.bytes)
    fits = fitting_strategies(tights, wanted)
    tiles = most_tiles(tights)
    fits += [] if tiles is None else [f"hd_num={tiles}"]
    if not fits:
        return UserError("nothing_fits", room=room, needs=needs)
    return UserError("does_not_fit", room=room, needs=needs, fits=", ".join(fits))


def fitting_strategies(tights: Sequence[Tight], wanted: Sequence[Wanted]) -> list[str]:
    """Of those asked for, what fits; where nothing does, the strategy advised, if any."""
    unfit = {tight.wanted for tight in tights}
    asked = list(dict.fromkeys(run.strategy for run in wanted if run not in unfit))
    advised = tights[0].advice.strategy
    return asked or ([] if advised is None else [advised])


def most_tiles(tights: Sequence[Tight]) -> int | None:
    """With how many tiles all of `tights` would fit; None where that does not help each of them."""
    return min((tight.advice.hd_num or 0 for tight in tights), default=0) or None
