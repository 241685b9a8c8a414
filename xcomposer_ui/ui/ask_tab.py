"""The Ask tab: both sides, and the events that join them to the handlers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import handlers
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.ask_form import AskForm
from xcomposer_ui.ui.ask_results import AskResults
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import Form, Session
from xcomposer_ui.ui.views.flow import flow_stage, flow_view
from xcomposer_ui.ui.views.notices import notice

MODEL_QUEUE = "model"
"""All that computes shares this one place in the queue: two visitors never compute at once."""

PREDICTIONS = "predictions"
"""Predictions for runs that are over wait for one another only."""

SHOW_RESULTS = """(...values) => {
  if (innerWidth < 768) document.getElementById('chat').scrollIntoView({behavior: 'smooth'});
  return values;
}"""
"""On a phone the answer is below the form: Run brings it into view."""

Steps = Generator[dict[Any, Any], None, None]


class AskTab:
    """Builds the tab; `shown` gives its values anew, for another language."""

    def __init__(
        self,
        words: Localization,
        settings: Settings,
        runner: Runner,
        language: gr.Radio,
        examples: tuple[Example, ...],
        preflight: Preflight,
    ) -> None:
        self.runner, self.preflight = runner, preflight
        self.visitors = words.visitors
        self.going: ActiveRuns[Session] = ActiveRuns()
        self.session = gr.State(Session())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=5, min_width=300, elem_classes="xl-left"):
                self.form = AskForm(words, settings, language, examples)
            with gr.Column(scale=8, min_width=300, elem_classes="xl-right"):
                self.results = AskResults(words, preflight, examples)
        self._wire(language)

    def outputs(self) -> list[Any]:
        """Every component that the tab's events change."""
        return [
            self.session,
            self.form.notice,
            self.form.strategy,
            self.form.hd_num,
            self.form.stop,
            *self.results.components(),
        ]

    def refreshed(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value after a run: `session` itself, all that shows it, the buttons at rest."""
        at_rest = {self.session: session, self.form.stop: gr.update(variant="secondary")}
        return at_rest | self.shown(session, language)

    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""
        return {self.form.notice: notice(session.notice, language)} | self.results.values(session, language)

    def _wire(self, language: gr.Radio) -> None:
        inputs = [self.session, language, *self.form.inputs()]

        def runs(triggers: list[Any], made: Callable[[Session, Form], Form], *, anyway: bool = False) -> Any:
            # Gradio names even private events after their functions; "run" is the endpoint's name.
            def asked(session: Session, language: str, request: gr.Request, *values: Any) -> Steps:
                spoken = self.visitors.spoken(request.session_hash, language)
                form = made(session, self.form.form(*values))
                steps = handlers.ask(self.runner, session, form, preflight=self.preflight, anyway=anyway)
                yield from self._shown(self.going.followed(request.session_hash, session, steps), form, spoken)

            event = gr.on(
                triggers, asked, inputs, self.outputs(), js=SHOW_RESULTS,
                show_progress="minimal", show_progress_on=self.results.chat, api_visibility="private",
                concurrency_id=MODEL_QUEUE, concurrency_limit=1, trigger_mode="once",
            )  # fmt: skip
            # The prediction comes when the answer is there: it takes seconds, and the next run does not wait for it.
            event.then(
                self._foreseen, [self.session, language], [self.results.pairs, self.results.timeline],
                show_progress="hidden", api_visibility="private", concurrency_id=PREDICTIONS, concurrency_limit=4,
            )  # fmt: skip
            return event

        started = [runs([self.form.run.click, self.form.question.submit], lambda _, form: form)]
        started += [runs([button.click], _curing(name)) for name, button in self.results.cures.items()]
        started.append(runs([self.results.fits["strategy"].click], fitting_form))
        started.append(runs([self.results.fits["hd-num"].click], fewer_tiles_form))
        started.append(
            runs([self.results.fits["anyway"].click], lambda session, form: session.held or form, anyway=True)
        )
        started.append(
            self.results.trace.click(
                self._traced, [self.session, language, self.results.against],
                [self.session, self.form.notice, self.results.flow],
                show_progress="hidden", api_visibility="private",
                concurrency_id=MODEL_QUEUE, concurrency_limit=1, trigger_mode="once",
            )
        )  # fmt: skip
        for button, ended in ((self.form.stop, self._stopped), (self.form.clear, self._cleared)):
            button.click(
                ended, [self.session, language], self.outputs(),
                cancels=started, queue=False, show_progress="hidden", api_visibility="private",
            )  # fmt: skip

    def _shown(self, steps: Generator[Session, None, None], form: Form, spoken: Callable[[], str]) -> Steps:
        first = True
        with closing(steps):
            for step in steps:
                if step.asking is None:
                    yield self.refreshed(step, spoken())
                elif first:
                    yield self.refreshed(step, spoken()) | {
                        self.form.strategy: form.strategy,
                        self.form.hd_num: form.hd_num or 0,
                        self.form.stop: gr.update(variant="stop"),
                    }
                else:
                    yield {self.session: step} | self.results.progress(step, spoken())
                first = False

    def _traced(self, session: Session, language: str, against: str | None) -> Steps:
        steps = handlers.trace(self.runner, session, against)
        told: object = None
        try:
            for step in steps:
                if isinstance(step, Session):
                    yield {
                        self.session: step,
                        self.form.notice: notice(step.notice, language),
                        self.results.flow: flow_view(step.traced, language),
                    }
                elif step != told:
                    told = step
                    yield {self.results.flow: flow_stage(step if isinstance(step, str) else None, language)}
        finally:
            steps.close()

    def _foreseen(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        spoken = self.visitors.spoken(request.session_hash, language)
        self.results.foreseen(session, language, ask=True)
        return self.results.foreseen(session, spoken())

    def _stopped(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        status = self.runner.status()
        session = self.going.stop(request.session_hash, session, lambda latest: handlers.stopped(latest, status))
        return self.refreshed(session, language)

    def _cleared(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        self.runner.forget()  # memory that only this conversation's next turn would have had a use for
        return self.refreshed(self.going.stop(request.session_hash, session, Session.cleared), language)


def fitting_form(session: Session, form: Form) -> Form:
    """The form that did not fit, under the strategy that does."""
    if session.misfit is None or session.held is None or session.misfit.advice.strategy is None:
        return form
    return replace(session.held, strategy=session.misfit.advice.strategy)


def fewer_tiles_form(session: Session, form: Form) -> Form:
    """The form that did not fit, with as many tiles as do."""
    if session.misfit is None or session.held is None or not session.misfit.advice.hd_num:
        return form
    return replace(session.held, hd_num=session.misfit.advice.hd_num)


def _curing(strategy: str) -> Callable[[Session, Form], Form]:
    return lambda session, form: handlers.cure(session, form, strategy)
