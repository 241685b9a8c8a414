"""The conversation: every turn with its picture, strategy and dtype, and what can be done with the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import strategy_name
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.session import Session, SessionRun


@dataclass(frozen=True)
class Turn:
    """A turn as it is shown. new_picture: whether it is about another picture than the turn before.

    dtype: of the weights, None while the run is in progress. answer: None where there is none to copy.
    note: that the run failed or was stopped.
    """

    request: Request
    thumbnail: str | None
    new_picture: bool
    strategy: str
    answer: str | None = None
    dtype: str | None = None
    note: str = ""


def conversation(session: Session, language: str) -> Markup:
    """Every turn, failed ones included, and the one in progress."""
    shown: list[Turn] = []
    file = session.turns[0].request.file if session.turns else None
    for run in session.turns:
        shown.append(_finished(run, language, new_picture=run.request.file != file))
        file = run.request.file
    if session.running is not None:
        request = session.running
        new = bool(shown) and request.file != file
        name = strategy_name(request.strategy, language)
        note = "" if session.trials is None else text("chat.failed", language, type=session.trials.failure.type)
        shown.append(Turn(request, session.thumbnail, new, name, session.draft or None, note=note))
    return render("conversation", language, turns=shown, busy=session.running is not None, restored=session.restored)


def _finished(run: SessionRun, language: str, *, new_picture: bool) -> Turn:
    result, note = run.result, ""
    if result.failure is not None:
        note = text("chat.failed", language, type=result.failure.type)
    elif result.stopped:
        note = text("chat.stopped", language)
    facts: dict[str, Any] = {"answer": result.answer or None, "dtype": result.weights_dtype, "note": note}
    return Turn(run.request, run.thumbnail, new_picture, strategy_name(result.strategy, language), **facts)
