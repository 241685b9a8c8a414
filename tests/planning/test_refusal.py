"""What a script and the command line are told of runs that will not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning.scripted import GIB
from tests.planning.test_fit import WANTED, Planned
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.fit import FitChecker, MemoryBudget, MemoryRequest, refuse_unless_fits
from xcomposer_ui.planning.plan import Plan, PlanRequest


def refused(plans: Planned, *wanted: MemoryRequest) -> UserError:
    with pytest.raises(UserError) as caught:
        refuse_unless_fits(FitChecker(plans, lambda: MemoryBudget("cpu", 24 * GIB)), wanted)
    return caught.value


def test_a_run_is_told_its_need_the_room_and_what_fits_instead() -> None:
    mistake = refused(Planned(), WANTED)
    assert mistake.code == "does_not_fit"
    assert "into the 24.00 GiB that there are (needed: full 35.00 GiB)" in str(mistake)
    assert "What fits: autocast. With “anyway”" in str(mistake)
    assert "放得下的有：autocast。" in mistake.in_language("zh")


def test_of_a_comparison_the_strategies_that_fit_are_named_and_as_many_tiles_as_let_all_fit() -> None:
    asked = [replace(WANTED, strategy=name) for name in ("autocast", "unified", "full")]
    plans = Planned(largest_tiles=9)
    assert "What fits: autocast, unified, hd_num=9. " in str(refused(plans, *asked))
    assert len(plans.asked) == 1


def test_where_nothing_fits_that_is_said() -> None:
    mistake = refused(Planned(fits_memory=False), WANTED)
    assert mistake.code == "nothing_fits"
    assert "take a smaller model" in str(mistake)


def test_what_fits_or_cannot_be_planned_passes() -> None:
    class Broken(Planned):
        def plan(self, request: PlanRequest) -> Plan:
            super().plan(request)
            raise UserError("plan_broke_off", what="exit status -9")

    broken = Broken()
    for plans, wanted in ((Planned(), replace(WANTED, strategy="unified")), (broken, WANTED)):
        refuse_unless_fits(FitChecker(plans, lambda: MemoryBudget("cpu", 24 * GIB)), [wanted])
    assert len(broken.asked) == 1
