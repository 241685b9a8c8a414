"""The strategies as data: what each says about dtypes, and what the user hears who names another."""

from __future__ import annotations

import dataclasses

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES, checked_half, strategy_named

DTYPES = {
    "as_is": ("half", "float32", False),
    "autocast": ("half", "float32", True),
    "unified": ("half", "half", False),
    "full": ("float32", "float32", False),
}
"""Weights, picture, autocast: what the words of the strategies promise."""


def test_there_are_the_four_strategies_in_the_order_they_are_shown() -> None:
    assert list(STRATEGIES) == list(DTYPES)


@pytest.mark.parametrize("half", HALF_DTYPES)
@pytest.mark.parametrize("name", list(DTYPES))
def test_a_strategy_says_which_dtype_weights_and_picture_get(name: str, half: str) -> None:
    strategy = strategy_named(name)
    weights, image, autocast = DTYPES[name]
    assert strategy.name == name
    assert strategy.weights_dtype(half) == weights.replace("half", half)
    assert strategy.image_dtype(half) == image.replace("half", half)
    assert strategy.autocast is autocast


def test_a_strategy_cannot_be_changed_under_a_run() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STRATEGIES["full"].weights = "half"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "Full", "fp16", "{known}"])
def test_an_unknown_strategy_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match="as_is, autocast, unified, full") as caught:
        strategy_named(name)
    assert f"“{name}”" in str(caught.value)
    assert f"“{name}”" in caught.value.in_language("zh")


@pytest.mark.parametrize("name", ["", "half", "float32", "torch.float16"])
def test_an_unknown_half_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match="float16, bfloat16"):
        checked_half(name)


@pytest.mark.parametrize("name", HALF_DTYPES)
def test_a_known_half_is_handed_back(name: str) -> None:
    assert checked_half(name) == name
