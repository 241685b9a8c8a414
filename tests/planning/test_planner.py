"""Requests, cards, advice and pairs: the part of planning that needs no torch."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.cards import CARDS, fits
from xcomposer_ui.planning.fit import advise
from xcomposer_ui.planning.plan import OnCard, PhasePeak, Plan, PlanRequest, StrategyPlan, picture_size
from xcomposer_ui.planning.predictions import PredictionError, prediction_error_as_json


@pytest.mark.parametrize(("text", "size"), [("1024x768", (1024, 768)), ("2 × 3", (2, 3)), ("none", None), ("", None)])
def test_a_picture_size_is_read(text: str, size: tuple[int, int] | None) -> None:
    assert picture_size(text) == size


@pytest.mark.parametrize("text", ["big", "12", "3x", "-1x5", "1x2x3"])
def test_what_is_no_picture_size_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError) as caught:
        picture_size(text)
    assert caught.value.code == "bad_picture_size"


@pytest.mark.parametrize(
    "change",
    [{"image": (0, 5)}, {"hd_num": 0}, {"prompt_tokens": 0}, {"new_tokens": 0}, {"batch": 0}, {"memory_bytes": 0}],
)
def test_a_figure_out_of_range_is_a_sentence(change: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        PlanRequest("embedded", **change)  # type: ignore[arg-type]
    assert caught.value.code == "out_of_range"


def test_cards_ascend_and_hold_less_than_they_are_called() -> None:
    sizes = [card.usable_bytes for card in CARDS]
    assert sizes == sorted(sizes)
    assert all(card.usable_bytes < int(card.name.split()[0]) * 2**30 for card in CARDS)
    assert all(card.source for card in CARDS)
    assert fits(20 << 30) == {name: int(name.split()[0]) >= 24 for name in fits(0)}
    assert not any(fits(1 << 50).values())


def strategy(name: str, *, enough: bool, fails_in: str | None = None, batch: int = 0) -> StrategyPlan:
    return StrategyPlan(
        name, "float16", 100, 10, {"prefill": PhasePeak(120, 10, 10)}, "prefill", OnCard(120, 1, 1, 1), {},
        fits_memory=enough, largest_batch=batch, fails_in=fails_in,
    )  # fmt: skip


def test_advice_names_a_strategy_that_fits_and_answers() -> None:
    request = PlanRequest("m", batch=4)
    plan = Plan(
        "m", "cpu", 50, 0.1, 20, 9, request,
        (
            strategy("as_is", enough=True, fails_in="tower"),
            strategy("autocast", enough=True),
            strategy("full", enough=False, batch=2),
        ),
    )  # fmt: skip
    advice = advise(plan, "full")
    assert advice is not None
    assert (advice.strategy, advice.batch) == ("autocast", 2)
    assert advise(plan, "autocast") is None


def test_a_pair_tells_its_error() -> None:
    pair = PredictionError("full", "float16", "cpu_tensors", 10, 5, 99, 100)
    assert pair.error == pytest.approx(-0.01)
    assert prediction_error_as_json(pair)["error"] == pytest.approx(-0.01)
