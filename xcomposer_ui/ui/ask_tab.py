"""The Ask tab: its form and results, and the events that connect them to the handlers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import gradio as gr

from xcomposer_ui.core.request import TILE_SETTINGS
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import handlers
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.ask_form import AskForm
from xcomposer_ui.ui.ask_results import AskResults
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.handlers import Fields
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import Session
from xcomposer_ui.ui.views.flow import flow_stage, flow_view
from xcomposer_ui.ui.views.notices import notice

MODEL_QUEUE = "model"
"""The queue of all events that compute, one at a time."""

COMPUTES: dict[str, Any] = {
    "api_visibility": "private", "concurrency_id": MODEL_QUEUE, "concurrency_limit": 1, "trigger_mode": "once",
}  # fmt: skip
"""For events that compute."""

STOPS: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For the events of the Stop buttons."""

PREDICTIONS = "predictions"
"""The queue of predictions for finished runs, apart from that of the model."""

SHOW_RESULTS = """(...values) => {
  if (innerWidth < 768) document.getElementById('chat').scrollIntoView({behavior: 'smooth'});
  return values;
}"""
"""On a phone the answer is below the form; Run scrolls to it."""

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
        self.languages = words.languages
        self.active: ActiveRuns[Session] = ActiveRuns()
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
            *self.form.changing(),
            self.form.stop,
            *self.results.components(),
        ]

    def refreshed(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value after a run: `session`, all that shows it, and the buttons' initial state."""
        idle = {self.session: session, self.form.stop: gr.update(variant="secondary")}
        return idle | self.shown(session, language)

    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""
        return {self.form.notice: notice(session.notice, language)} | self.results.values(session, language)

    def _wire(self, language: gr.Radio) -> None:
        inputs = [self.session, language, *self.form.inputs()]

        def runs(
            triggers: list[Any], to_run: Callable[[Session, Fields], Fields] = own_fields, *, anyway: bool = False
        ) -> Any:
            # Gradio names even private events after their functions; "run" is the endpoint's name.
            def answer(session: Session, language: str, request: gr.Request, *values: Any) -> Steps:
                language_now = self.languages.current(request.session_hash, language)
                fields = to_run(session, self.form.fields(*values))
                steps = handlers.ask(self.runner, session, fields, preflight=self.preflight, anyway=anyway)
                yield from self._shown(self.active.followed(request.session_hash, session, steps), fields, language_now)

            event = gr.on(
                triggers, answer, inputs, self.outputs(), js=SHOW_RESULTS,
                show_progress="minimal", show_progress_on=self.results.chat, **COMPUTES,
            )  # fmt: skip
            # The prediction takes seconds: it follows the answer, in its own queue, so that no run waits for it.
            event.then(
                self._predicted, [self.session, language], [self.results.pairs, self.results.timeline],
                show_progress="hidden", api_visibility="private", concurrency_id=PREDICTIONS, concurrency_limit=4,
            )  # fmt: skip
            return event

        fits = self.results.fits
        started = [
            runs([self.form.run.click, self.form.question.submit]),
            *(runs([button.click], _remedy(name)) for name, button in self.results.remedies.items()),
            runs([fits["strategy"].click], fitting_fields),
            runs([fits["hd-num"].click], fewer_tiles_fields),
            runs([fits["anyway"].click], refused_fields, anyway=True),
            self.results.trace.click(
                self._traced, [self.session, language, self.results.against],
                [self.session, self.form.notice, self.results.flow], show_progress="hidden", **COMPUTES,
            ),
        ]  # fmt: skip
        for button, ended in ((self.form.stop, self._stopped), (self.form.clear, self._cleared)):
            button.click(
                ended, [self.session, language], self.outputs(),
                cancels=started, **STOPS,
            )  # fmt: skip

    def _shown(self, steps: Generator[Session, None, None], fields: Fields, language_now: Callable[[], str]) -> Steps:
        first = True
        with closing(steps):
            for step in steps:
                if step.running is None:
                    yield self.refreshed(step, language_now())
                elif first:
                    busy = {self.form.stop: gr.update(variant="stop")}
                    yield self.refreshed(step, language_now()) | self.form.changed(fields) | busy
                else:
                    yield {self.session: step} | self.results.progress(step, language_now())
                first = False

    def _traced(self, session: Session, language: str, against: str | None) -> Steps:
        steps = handlers.trace(self.runner, session, against)
        shown: object = None
        try:
            for step in steps:
                if isinstance(step, Session):
                    yield {
                        self.session: step,
                        self.form.notice: notice(step.notice, language),
                        self.results.flow: flow_view(step.traced, language),
                    }
                elif step != shown:
                    shown = step
                    yield {self.results.flow: flow_stage(step if isinstance(step, str) else None, language)}
        finally:
            steps.close()

    def _predicted(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        language_now = self.languages.current(request.session_hash, language)
        self.results.predictions(session, language, predict_newest=True)
        return self.results.predictions(session, language_now())

    def _stopped(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        status = self.runner.status()
        session = self.active.stop(request.session_hash, session, lambda latest: handlers.stopped(latest, status))
        return self.refreshed(session, language)

    def _cleared(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        self.runner.forget()  # its prefix cache is of use to this conversation's next turn only
        return self.refreshed(self.active.stop(request.session_hash, session, Session.cleared), language)


def own_fields(_: Session, fields: Fields) -> Fields:
    """The fields of the controls."""
    return fields


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


def _remedy(strategy: str) -> Callable[[Session, Fields], Fields]:
    return lambda session, fields: handlers.remedy(session, fields, strategy)
