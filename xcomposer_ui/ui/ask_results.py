"""The Ask tab's right side: conversation, figures, the run's status with its remedies, the runs so far."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import STRATEGIES, strategy_choices
from xcomposer_ui.planning.fit import DoesNotFit
from xcomposer_ui.planning.predictions import shape_of
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.handlers import remedies
from xcomposer_ui.ui.links import ask_link
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.offer_buttons import offers
from xcomposer_ui.ui.prediction_error import pairs_shown
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import Session
from xcomposer_ui.ui.views.conversation import messages
from xcomposer_ui.ui.views.downloads import downloads
from xcomposer_ui.ui.views.explanation import strategy_label
from xcomposer_ui.ui.views.flow import flow_view
from xcomposer_ui.ui.views.memory_chart import memory_chart
from xcomposer_ui.ui.views.metric_tiles import metric_tiles
from xcomposer_ui.ui.views.notices import does_not_fit_notice
from xcomposer_ui.ui.views.run_status import run_status
from xcomposer_ui.ui.views.runs import runs_table

FITS = ("strategy", "hd-num", "anyway")
"""What is offered where a run does not fit: the strategy that does, as many tiles as do, or the run in any case."""


class AskResults:
    """The views of a session, and how a session becomes their values."""

    def __init__(self, words: Localization, preflight: Preflight, examples: tuple[Example, ...] = ()) -> None:
        self.preflight, self.examples = preflight, examples
        self.chat = words.make(
            gr.Chatbot,
            {"label": "chat", "placeholder": "chat.placeholder"},
            height=300, show_label=False, render_markdown=False, feedback_options=None, buttons=[], latex_delimiters=[],
            group_consecutive_messages=False, elem_id="chat",
        )  # fmt: skip
        self.tiles = words.view(lambda language: metric_tiles(None, language), elem_id="tiles")
        self.misfit = gr.HTML("", elem_id="tight")
        self.fits = offers("fits", "fit", FITS)
        self.happened = words.view(lambda language: run_status(Session(), language), elem_id="happened")
        self.cures = offers("cures", "try", STRATEGIES)
        self.timeline = gr.HTML("", elem_id="course")
        self.pairs = gr.HTML("", elem_id="pairs")
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
        self.runs = words.view(lambda language: runs_table((), language), elem_id="runs")

    def components(self) -> list[Any]:
        """Every component that `values` may speak of."""
        return [
            self.chat, self.tiles, self.misfit, *self.fits.values(), self.happened, *self.cures.values(), self.timeline,
            self.pairs, self.flow, self.report, self.runs,
        ]  # fmt: skip

    def values(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all of `session`."""
        worth_a_button = remedies(session)
        last = session.last if session.running is None else None
        return (
            {
                self.chat: messages(session, language),
                self.tiles: metric_tiles(last.measurement if last else None, language),
                self.misfit: does_not_fit_notice(session.misfit, language),
                self.happened: run_status(session, language),
                **self.predictions(session, language),
                self.flow: flow_view(session.traced, language),
                self.report: self._downloads(session, language),
                self.runs: runs_table(session.runs, language),
            }
            | {
                button: gr.update(
                    visible=name in worth_a_button,
                    value=text("fix.try", language, strategy=strategy_label(name, language)),
                )
                for name, button in self.cures.items()
            }
            | {
                button: gr.update(visible=label is not None, value=label or name)
                for (name, button), label in zip(self.fits.items(), fit_labels(session.misfit, language), strict=True)
            }
        )

    def predictions(self, session: Session, language: str, *, ask: bool = False) -> dict[Any, Any]:
        """Component -> value for predicted beside measured peaks; `ask` predicts the last run's, in seconds."""
        pairs = pairs_shown(session.runs, self.preflight.predictions, language, ask=ask)
        return {self.pairs: pairs, self.timeline: self._timeline(session, language)}

    def _timeline(self, session: Session, language: str) -> str:
        """The chart of the run in progress, else of the last one."""
        if session.running is not None or session.last is None:
            return memory_chart(session.timeline, session.expected_bytes, language)
        shape = shape_of(session.last, len(session.turns[-1].request.text))
        predicted = None if shape is None else self.preflight.predictions.cached(shape)
        return memory_chart(session.last.timeline, predicted, language)

    def _downloads(self, session: Session, language: str) -> str:
        """Reports of the last run and the link to its settings; nothing while another run is in progress."""
        if session.report is None or session.running is not None or not session.turns:
            return ""
        link = ask_link(session.turns[-1].request, self.examples)
        return downloads(session.report, "run", link, language)

    def progress(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for what changes while a run is in progress."""
        changes = {self.chat: messages(session, language), self.happened: run_status(session, language)}
        return changes | ({self.timeline: self._timeline(session, language)} if session.timeline is not None else {})


def fit_labels(misfit: DoesNotFit | None, language: str) -> tuple[str | None, ...]:
    """What the buttons of FITS say; None for one that offers nothing."""
    if misfit is None:
        return (None,) * len(FITS)
    instead, tiles = misfit.advice.strategy, misfit.advice.tiles
    return (
        instead and text("fit.try", language, strategy=strategy_label(instead, language)),
        text("fit.try_tiles", language, n=tiles) if tiles else None,
        text("fit.anyway", language) if misfit.measured_bytes is None else None,
    )
