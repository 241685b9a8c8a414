"""Predicted and measured memory of a session's runs: the newest is predicted now, older ones come from the cache."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.predictions import PredictionError, Predictions, prediction_error_of
from xcomposer_ui.ui.session import SessionRun
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.plan import pairs_view

MOST_SHOWN = 20


def pairs_of(runs: Sequence[SessionRun], predictions: Predictions, *, ask: bool = True) -> tuple[PredictionError, ...]:
    """The pairs of the last runs, oldest first. ask: whether to predict the newest run, which takes seconds.

    Raises UserError where it cannot be predicted.
    """
    found = []
    for place, run in enumerate(reversed(runs[-MOST_SHOWN:])):
        predict = predictions.of if ask and place == 0 else predictions.cached
        if pair := prediction_error_of(run.result, len(run.request.text), predict):
            found.append(pair)
    return tuple(reversed(found))


def pairs_shown(runs: Sequence[SessionRun], predictions: Predictions, language: str, *, ask: bool = True) -> str:
    """The pairs as HTML, or the reason why there are none."""
    try:
        return pairs_view(pairs_of(runs, predictions, ask=ask), language)
    except UserError as error:
        return notice(error, language)
