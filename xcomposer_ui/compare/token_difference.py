"""How far a run's answer is from full precision's, token by token, from what the two runs recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xcomposer_ui.core.result import AnswerTokens


@dataclass(frozen=True)
class TokenDifference:
    """A run's tokens against full precision's.

    relative: for each token up to the first different one, |p / p_full - 1| or its inverse's, whichever is larger, of
    the probabilities p that the two runs gave it: 0 where they are equal.
    first_different: the index of the first token that differs, or at which one of the answers has ended; None where
    the answers are the same. own, full: the texts of the two tokens there, "" for an end.
    """

    relative: tuple[float, ...]
    first_different: int | None = None
    own: str = ""
    full: str = ""


def token_difference(run: AnswerTokens, full: AnswerTokens) -> TokenDifference:
    """The difference of `run` from `full`, two answers to one question.

    Nothing is compared after the first different token: from there on the two runs continue different texts.
    """
    longest = max(len(run.ids), len(full.ids))
    first = next((n for n in range(longest) if run.ids[n : n + 1] != full.ids[n : n + 1]), None)
    pairs = zip(run.log_probabilities[:first], full.log_probabilities[:first], strict=first is None)
    relative = tuple(math.expm1(min(abs(own - exact), 700.0)) for own, exact in pairs)
    if first is None:
        return TokenDifference(relative)
    own, exact = ("".join(tokens.texts[first : first + 1]) for tokens in (run, full))
    return TokenDifference(relative, first, own, exact)
