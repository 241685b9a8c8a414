"""The difference of two recorded answers, token by token."""

from __future__ import annotations

import math

import pytest

from xcomposer_ui.compare.token_difference import TokenDifference, token_difference
from xcomposer_ui.core.result import AnswerTokens


def tokens(*chosen: tuple[str, float]) -> AnswerTokens:
    """Tokens with these texts and probabilities; a token's id follows from its text."""
    texts = tuple(token for token, _ in chosen)
    ids = tuple(sum(token.encode()) for token in texts)
    return AnswerTokens(ids, texts, tuple(math.log(probability) for _, probability in chosen))


FULL = tokens((" red", 0.8), (" circle", 0.5), ("", 0.9))


def test_equal_answers_differ_in_the_probabilities_alone() -> None:
    found = token_difference(tokens((" red", 0.4), (" circle", 0.6), ("", 0.9)), FULL)
    assert found.relative == pytest.approx((1.0, 0.2, 0.0))  # half as likely counts as much as twice as likely
    assert found.first_different is None


def test_nothing_is_compared_from_the_first_different_token_on() -> None:
    found = token_difference(tokens((" red", 0.8), (" square", 0.6), ("", 0.1)), FULL)
    assert found == TokenDifference(pytest.approx((0.0,)), 1, " square", " circle")  # type: ignore[arg-type]


@pytest.mark.parametrize(("run", "first"), [(FULL, 2), (tokens((" red", 0.8)), 1)])
def test_an_answer_that_ends_earlier_differs_where_it_ends(run: AnswerTokens, first: int) -> None:
    longer = tokens((" red", 0.8), (" circle", 0.5), (" too", 0.2), ("", 0.9))
    found = token_difference(run, longer)
    assert (found.first_different, found.own, found.full) == (first, "", longer.texts[first])


def test_a_token_that_full_precision_all_but_excludes_is_a_finite_difference() -> None:
    unlikely = AnswerTokens(FULL.ids, FULL.texts, (-5000.0, *FULL.log_probabilities[1:]))
    assert math.isfinite(token_difference(FULL, unlikely).relative[0])
