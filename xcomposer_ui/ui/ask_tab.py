"""The Ask tab: its form and results, and the events that connect them to the handlers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import TILE_SETTINGS, Request
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.ui import handlers
from xcomposer_ui.ui.ask_form import STORAGE, AskForm
from xcomposer_ui.ui.ask_results import AskResults
from xcomposer_ui.ui.handlers import Fields
from xcomposer_ui.ui.links import example_file, example_name
from xcomposer_ui.ui.localization import QUIET
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.run_tab import COMPUTES, STOPS, RunTab, Steps
from xcomposer_ui.ui.session import Session, kept_session, restored_session
from xcomposer_ui.ui.views.flow import flow_stage, flow_view
from xcomposer_ui.ui.views.notices import notice

PREDICTIONS = "predictions"
"""The queue of predictions for finished runs, apart from that of the model."""

FOCUS_QUESTION = "() => document.querySelector('#question textarea').focus()"


ToRun = Callable[[Session, Fields], Fields]
"""The fields of the request to run, from the session and the fields of the controls."""


def refused_fields(session: Session, fields: Fields) -> Fields:
    """The request that did not fit."""
    return fields if session.refused is None else vars(session.refused)


def fitting_fields(session: Session, fields: Fields) -> Fields:
    """The request that did not fit, under the strategy that does."""
    if session.misfit is None or session.misfit.advice.strategy is None:
        return fields
    return {**refused_fields(session, fields), "strategy": session.misfit.advice.strategy}


def fewer_tiles_fields(session: Session, fields: Fields) -> Fields:
    """The request that did not fit, with the largest number of tiles that does."""
    if session.misfit is None or session.refused is None or not session.misfit.advice.tiles:
        return fields
    return vars(session.refused) | dict.fromkeys(TILE_SETTINGS, session.misfit.advice.tiles)


def _repeated(strategy: str | None = None) -> ToRun:
    """The conversation's last question about the same picture under `strategy`, or that of the controls."""
    return lambda session, fields: handlers.remedy(session, fields, strategy or fields["strategy"])


class AskTab(RunTab[Session]):
    """Builds the tab; `shown` gives its values anew, for another language."""

    def __init__(self, page: Page) -> None:
        super().__init__(page, Session())
        self.kept = gr.BrowserState(None, storage_key="xcomposer-lab-runs", secret=STORAGE)
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=5, min_width=300, elem_classes="xl-left"):
                self.form = AskForm(page)
            with gr.Column(scale=8, min_width=300, elem_classes="xl-right"):
                self.results = AskResults(page)
        self.notice, self.stop = self.form.notice, self.form.stop
        self._wire()

    def inputs(self) -> list[Any]:
        return self.form.inputs()

    def fields(self, *values: Any) -> dict[str, Any]:
        return self.form.fields(*values)

    def outputs(self) -> list[Any]:
        return [*super().outputs(), *self.form.changed(Request("?"))]

    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        return {
            self.notice: notice(session.notice, language),
            self.form.run: text("running" if session.running else "run", language),
        } | self.results.values(session, language)

    def step(self, session: Session, language: str, *, first: bool) -> dict[Any, Any]:
        """As in RunTab; of the steps of a run, only the first shows what they leave alone."""
        if session.running is None:
            return self.refreshed(session, language)
        if first:
            return self.refreshed(session, language) | self.form.changed(session.running)
        return self.results.progress(session, language)

    def stopped(self, session: Session) -> Session:
        return handlers.stopped(session, self.page.runner.status())

    def restored(self, kept: Any) -> Session:
        """The session that the browser kept."""

        def file(name: str | None) -> str | None:
            example = example_file(name, self.page.examples)
            return None if example is None else self.form.copy_of(example)

        return restored_session(kept, file)

    def _keep(self, session: Session) -> dict[str, Any]:
        return kept_session(session, lambda file: example_name(file, self.page.examples))

    def _wire(self) -> None:
        state = [self.session, self.language]
        inputs = [*state, *self.inputs()]

        def runs(triggers: list[Any], to_run: ToRun | None = None, *, anyway: bool = False) -> Any:
            handler = partial(self._run, to_run=to_run, anyway=anyway)
            return self._predicting(self._on(partial(gr.on, triggers), handler, "answer"))

        def example(session: Session, language: str, event: gr.EventData, request: gr.Request, *values: Any) -> Steps:
            fields, filled = self.form.example(self.fields(*values), event.strategy, language)
            yield filled
            yield from self._followed(self._run, session, fields, language, request)

        shown_example = list(dict.fromkeys([*self.outputs(), *self.form.gallery.outputs()]))
        fits = self.results.fits
        started = [
            runs([self.form.run.click, self.form.question.submit]),
            self._predicting(self.results.start.submit(example, inputs, shown_example, **COMPUTES)),
            runs([self.results.chat.retry], _repeated()),
            runs([self.results.chat.expand], _repeated(REFERENCE)),
            *(runs([button.click], _repeated(name)) for name, button in self.results.remedies.items()),
            runs([fits["strategy"].click], fitting_fields),
            runs([fits["hd-num"].click], fewer_tiles_fields),
            runs([fits["anyway"].click], refused_fields, anyway=True),
            self.results.trace.click(
                self._traced, [*state, self.results.against],
                [self.session, self.notice, self.results.flow], **COMPUTES | {"trigger_mode": "once"},
            ),
        ]  # fmt: skip
        chat, clear, question = self.results.chat, self.form.clear, self.form.question
        edited = chat.edit(self._edited, state, [question, *self.outputs()], **QUIET)
        for changed in (
            self._on_stop(started),
            clear.click(self._cleared, state, self.outputs(), cancels=started, **STOPS),
            chat.undo(self._undone, state, self.outputs(), **QUIET),
            edited,
        ):
            changed.then(self._keep, self.session, self.kept, **QUIET)
        edited.then(None, js=FOCUS_QUESTION, api_visibility="private")
        clear.click(lambda: "", None, question, **QUIET)

    def _predicting(self, event: Any) -> Any:
        """`event`, followed by the prediction of its run: it takes seconds, so that it has a queue of its own."""
        event.then(self._keep, self.session, self.kept, **QUIET)
        event.then(
            self._predicted, [self.session, self.language], [self.results.pairs, self.results.timeline],
            show_progress="hidden", api_visibility="private", concurrency_id=PREDICTIONS, concurrency_limit=4,
        )  # fmt: skip
        return event

    def _run(
        self, session: Session, fields: Fields, to_run: ToRun | None = None, *, anyway: bool = False
    ) -> Generator[Session, None, None]:
        """The sessions of a run with what `to_run` makes of the fields of the controls; None leaves them."""
        chosen = fields if to_run is None else to_run(session, fields)
        return handlers.ask(self.page.runner, session, chosen, preflight=self.page.checks, anyway=anyway)

    def _traced(self, session: Session, language: str, against: str | None) -> Steps:
        shown: object = None
        with closing(handlers.trace(self.page.runner, session, against)) as steps:
            for step in steps:
                if isinstance(step, Session):
                    yield {
                        self.session: step,
                        self.notice: notice(step.notice, language),
                        self.results.flow: flow_view(step.traced, language),
                    }
                elif step != shown:
                    shown = step
                    yield {self.results.flow: flow_stage(step if isinstance(step, str) else None, language)}

    def _predicted(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        language_now = self.languages.current(request.session_hash, language)
        shown = self.results.predictions(session, language, predict_newest=True)
        now = language_now()
        return shown if now == language else self.results.predictions(session, now)

    def _undone(self, session: Session, language: str) -> dict[Any, Any]:
        return self.refreshed(session.undone(), language)

    def _edited(self, session: Session, language: str) -> dict[Any, Any]:
        """The last turn's question is in the field again, and the turn is gone."""
        last = session.turns[-1].request.text
        return {self.form.question: last} | self.refreshed(session.undone(), language)

    def _cleared(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        self.page.runner.forget()  # its prefix cache is of use to this conversation's next turn only
        return self.refreshed(self.active.stop(request.session_hash, session, Session.cleared), language)
