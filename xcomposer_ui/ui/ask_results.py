"""The Ask tab's right side: conversation, figures, the run's status with its remedies, the runs so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import STRATEGIES, strategy_choices, strategy_name
from xcomposer_ui.planning.fit import DoesNotFit
from xcomposer_ui.planning.predictions import PredictionError, Predictions, prediction_error_of, shape_of
from xcomposer_ui.ui.handlers import remedies
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.links import ask_link
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.page_scripts import triggers
from xcomposer_ui.ui.run_tab import labelled, offers
from xcomposer_ui.ui.session import Session, SessionRun
from xcomposer_ui.ui.views.conversation import conversation
from xcomposer_ui.ui.views.downloads import downloads
from xcomposer_ui.ui.views.flow import flow_view
from xcomposer_ui.ui.views.memory_chart import memory_chart
from xcomposer_ui.ui.views.notices import does_not_fit_notice, notice
from xcomposer_ui.ui.views.plan import pairs_view
from xcomposer_ui.ui.views.run_status import run_status
from xcomposer_ui.ui.views.runs import metric_tiles, runs_table

FITS = ("strategy", "hd-num", "anyway")
"""What is offered where a run does not fit: a strategy or a number of tiles that fits, or the run in any case."""

MOST_SHOWN = 20
"""Runs whose predicted peak is shown beside the measured one."""


class AskResults:
    """The views of a session, and how a session becomes their values."""

    def __init__(self, page: Page) -> None:
        self.examples, self.past_predictions = page.examples, page.checks.predictions
        words = page.words
        self.start = words.view(self._start, js_on_load=triggers("submit"), elem_id="start")
        self.misfit = gr.HTML("", elem_id="does-not-fit")
        self.fits = offers("fits", "fit", FITS)
        self.chat = gr.HTML(
            conversation(Session(), "en"),
            js_on_load=triggers("edit", "retry", "undo", "apply", "expand"),
            elem_id="chat",
        )
        self.tiles = gr.HTML("", elem_id="tiles")
        self.status = gr.HTML("", elem_id="run-status")
        self.remedies = offers("remedies", "try", STRATEGIES)
        self.timeline = gr.HTML("", elem_id="memory-timeline")
        with words.make(gr.Accordion, {"label": "flow"}, open=False, elem_id="flow-section"):
            with gr.Row(elem_classes="xl-flow-controls"):
                self.against = words.make(
                    gr.Dropdown,
                    {"label": "flow.against", "choices": [("flow.alone", ""), *strategy_choices()]},
                    value="", filterable=False, elem_id="against",
                )  # fmt: skip
                self.trace = words.make(gr.Button, {"value": "flow.run"}, elem_id="trace")
            self.flow = words.view(lambda language: flow_view((), language), elem_id="flow")
        self.report = gr.HTML("", elem_id="report")
        self.runs = gr.HTML("", elem_id="runs")
        self.pairs = gr.HTML("", elem_id="prediction-errors")

    def values(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value that shows `session`."""
        offered = remedies(session)
        tries = {name: text("fix.try", language, strategy=strategy_name(name, language)) for name in offered}
        return {
            self.start: self._start(language) if session.is_new else "",
            self.chat: conversation(session, language),
            self.tiles: self._tiles(session, language),
            self.misfit: does_not_fit_notice(session.misfit, language),
            self.status: run_status(session, language),
            **self.predictions(session, language),
            self.flow: flow_view(session.traced, language),
            self.report: self._downloads(session, language),
            self.runs: runs_table(session.runs, language),
            **labelled(self.remedies, tries),
            **labelled(self.fits, dict(zip(FITS, fit_labels(session.misfit, language), strict=True))),
        }

    def _tiles(self, session: Session, language: str) -> str:
        """The last run's figures; during a run their places, so that nothing moves when they arrive; else nothing."""
        if session.running is not None:
            return metric_tiles(None, language) if session.trials is None else ""
        answered = session.last is not None and session.last.failure is None
        return metric_tiles(session.last.measurement, language) if session.last and answered else ""

    def _start(self, language: str) -> str:
        """What the lab shows, before the first run."""
        return render("start", language, examples=bool(self.examples))

    def predictions(self, session: Session, language: str, *, predict_newest: bool = False) -> dict[Any, Any]:
        """Component -> value for predicted beside measured peaks, none while a run is in progress.

        predict_newest: as in `pairs_of`.
        """
        runs = session.runs if session.running is None else ()
        pairs = pairs_shown(runs, self.past_predictions, language, predict_newest=predict_newest)
        return {self.pairs: pairs, self.timeline: self._timeline(session, language)}

    def _timeline(self, session: Session, language: str) -> str:
        """The chart of the run in progress, else of the last one."""
        if session.running is not None or session.last is None:
            return memory_chart(session.timeline, session.expected_bytes, language)
        shape = shape_of(session.last)
        predicted = None if shape is None else self.past_predictions.cached(shape)
        return memory_chart(session.last.timeline, predicted, language)

    def _downloads(self, session: Session, language: str) -> str:
        """Reports of the last run and the link to its settings; nothing while another run is in progress."""
        if session.report is None or session.running is not None or not session.turns:
            return ""
        link = ask_link(session.turns[-1].request, self.examples)
        return downloads(session.report, "run", link, language)

    def progress(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for what changes while a run is in progress."""
        changes: dict[Any, Any] = {
            self.chat: conversation(session, language),
            self.status: run_status(session, language),
        }
        if session.trials is not None:
            changes[self.tiles] = self._tiles(session, language)
        return changes | ({self.timeline: self._timeline(session, language)} if session.timeline is not None else {})


def fit_labels(misfit: DoesNotFit | None, language: str) -> tuple[str | None, ...]:
    """The labels of the buttons of FITS; None for one that offers nothing."""
    if misfit is None:
        return (None,) * len(FITS)
    instead, tiles = misfit.advice.strategy, misfit.advice.tiles
    return (
        instead and text("fit.try", language, strategy=strategy_name(instead, language)),
        text("fit.try_tiles", language, n=tiles) if tiles else None,
        text("fit.anyway", language) if misfit.measured_bytes is None else None,
    )


def pairs_of(
    runs: Sequence[SessionRun], predictions: Predictions, *, predict_newest: bool = True
) -> tuple[PredictionError, ...]:
    """Predicted and measured memory of the last runs, oldest first; of older ones as far as it is cached.

    Empty where the newest run has no prediction (yet), whose figures are shown first.
    predict_newest: whether to predict the newest run, which takes seconds. Raises UserError where that fails.
    """
    found = []
    for place, run in enumerate(reversed(runs[-MOST_SHOWN:])):
        predict = predictions.of if predict_newest and place == 0 else predictions.cached
        if pair := prediction_error_of(run.result, predict):
            found.append(pair)
        elif place == 0:
            return ()
    return tuple(reversed(found))


def pairs_shown(
    runs: Sequence[SessionRun], predictions: Predictions, language: str, *, predict_newest: bool = True
) -> str:
    """The pairs as HTML, or the reason why there are none."""
    try:
        return pairs_view(pairs_of(runs, predictions, predict_newest=predict_newest), language)
    except UserError as error:
        return notice(error, language)
