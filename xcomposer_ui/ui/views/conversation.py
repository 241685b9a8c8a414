"""The conversation: every turn with its picture, strategy and dtype, and what can be done with the last one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.token_difference import TokenDifference, token_difference
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import AnswerTokens
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.core.units import significant
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.session import Session, SessionRun
from xcomposer_ui.ui.views.charts import strip

MOST_CELLS = 64
"""Of a strip; where an answer has more tokens, a cell shows the largest difference of several."""


@dataclass(frozen=True)
class Turn:
    """A turn as it is shown. new_picture: whether it is about another picture than the turn before.

    dtype: of the weights, None while the run is in progress. answer: None where there is none to copy.
    note: that the run failed or was stopped.
    strip: how far the answer is from full precision's; empty while that is not known yet, None where it will not be.
    offers_difference: whether a run under full precision, which the strip needs, can be asked for.
    """

    request: Request
    thumbnail: str | None
    new_picture: bool
    answer: str | None = None
    dtype: str | None = None
    note: str = ""
    strip: Markup | None = None
    offers_difference: bool = False


def conversation(session: Session, language: str) -> Markup:
    """Every turn, failed ones included, and the one in progress."""
    shown: list[Turn] = []
    file = session.turns[0].request.file if session.turns else None
    for run in session.turns:
        full = session.full_precision_of(run.request, run.thumbnail)
        shown.append(_finished(run, full, language, new_picture=run.request.file != file))
        file = run.request.file
    if session.running is not None:
        request = session.running
        new = bool(shown) and request.file != file
        note = "" if session.trials is None else text("chat.failed", language, type=session.trials.failure.type)
        waits = request.strategy != REFERENCE and session.full_precision_of(request, session.thumbnail) is not None
        place = Markup() if waits and not note else None  # so that nothing moves when it arrives
        shown.append(Turn(request, session.thumbnail, new, session.draft or None, note=note, strip=place))
    return render("conversation", language, turns=shown, busy=session.running is not None, restored=session.restored)


def _finished(run: SessionRun, full: SessionRun | None, language: str, *, new_picture: bool) -> Turn:
    result, note = run.result, ""
    if result.failure is not None:
        note = text("chat.failed", language, type=result.failure.type)
    elif result.stopped:
        note = text("chat.stopped", language)
    facts: dict[str, Any] = {"answer": result.answer or None, "dtype": result.weights_dtype, "note": note}
    if result.tokens is not None and result.strategy != REFERENCE:
        exact = None if full is None else full.result.tokens
        facts["strip"] = None if exact is None else difference_strip(result.tokens, exact, language)
        facts["offers_difference"] = exact is None
    return Turn(run.request, run.thumbnail, new_picture, **facts)


def difference_strip(own: AnswerTokens, full: AnswerTokens, language: str) -> Markup:
    """A cell for each token of an answer: how far its probability is from full precision's."""
    found = token_difference(own, full)
    names = [
        text("strip.token", language, token=token, own=f"{math.exp(a):.4%}", full=f"{math.exp(b):.4%}")
        for token, a, b in zip(own.texts, own.log_probabilities, full.log_probabilities, strict=False)
    ]
    cells: list[tuple[str, float | None]] = list(zip(names, found.relative, strict=False))
    size = -(-len(cells) // MOST_CELLS) or 1
    cells = [max(cells[n : n + size], key=lambda cell: cell[1] or 0.0) for n in range(0, len(cells), size)]
    label = _difference_label(found, language)
    if found.first_different is not None:
        cells.append((label, None))
    return strip(cells, label, text("strip.title", language))


def _difference_label(found: TokenDifference, language: str) -> str:
    most = f"{significant(100 * max(found.relative, default=0.0))}%"
    if found.first_different is None:
        return text("strip.same", language, share=most)
    own, full = (token.strip() or text("compare.end", language) for token in (found.own, found.full))
    code = "strip.different" if found.first_different else "strip.different.first"
    return text(code, language, n=found.first_different + 1, own=own, full=full, share=most)
