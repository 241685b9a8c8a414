"""The Ask tab: its form and results, and the events that connect them to the handlers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import TILE_SETTINGS
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import handlers
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.ask_form import STORAGE, AskForm
from xcomposer_ui.ui.ask_results import AskResults
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.handlers import Fields
from xcomposer_ui.ui.kept_session import kept_session, restored_session
from xcomposer_ui.ui.links import example_file, example_name
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.run_tab import BUSY, COMPUTES, STOPS, Steps
from xcomposer_ui.ui.session import Session
from xcomposer_ui.ui.views.flow import flow_stage, flow_view
from xcomposer_ui.ui.views.notices import notice

PREDICTIONS = "predictions"
"""The queue of predictions for finished runs, apart from that of the model."""

FOCUS_QUESTION = "() => document.querySelector('#question textarea').focus()"


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
        self.languages, self.language = words.languages, language
        self.active: ActiveRuns[Session] = ActiveRuns()
        self.session = gr.State(Session())
        self.kept = gr.BrowserState(None, storage_key="xcomposer-lab-runs", secret=STORAGE)
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
            self.form.run,
            self.form.stop,
            *self.results.components(),
        ]

    def refreshed(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for `session` and all that shows it."""
        return {self.session: session} | self.shown(session, language)

    def shown(self, session: Session, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""
        running = session.running is not None
        return {
            self.form.notice: notice(session.notice, language),
            self.form.run: text("running" if running else "run", language),
            self.form.stop: gr.update(value=text("stop", language), variant="stop" if running else "secondary"),
        } | self.results.values(session, language)

    def restored(self, kept: Any) -> Session:
        """The session that the browser kept."""

        def file(name: str | None) -> str | None:
            example = example_file(name, self.form.examples)
            return None if example is None else self.form.copy_of(example)

        return restored_session(kept, file)

    def _keep(self, session: Session) -> dict[str, Any]:
        return kept_session(session, lambda file: example_name(file, self.form.examples))

    def _wire(self, language: gr.Radio) -> None:
        inputs = [self.session, language, *self.form.inputs()]

        def runs(
            triggers: list[Any], to_run: Callable[[Session, Fields], Fields] = own_fields, *, anyway: bool = False
        ) -> Any:
            # Gradio names even private events after their functions; "run" is the endpoint's name.
            def answer(session: Session, language: str, request: gr.Request, *values: Any) -> Steps:
                fields = to_run(session, self.form.fields(*values))
                yield from self._run(session, fields, language, request, anyway=anyway)

            return self._predicting(gr.on(triggers, answer, inputs, self.outputs(), **COMPUTES))

        def example(session: Session, language: str, event: gr.EventData, request: gr.Request, *values: Any) -> Steps:
            fields, filled = self.form.example(self.form.fields(*values), event.strategy, language)
            yield filled
            yield from self._run(session, fields, language, request)

        shown_example = list(dict.fromkeys([*self.outputs(), *self.form.gallery.outputs()]))
        fits = self.results.fits
        started = [
            runs([self.form.run.click, self.form.question.submit]),
            self._predicting(self.results.start.submit(example, inputs, shown_example, **COMPUTES)),
            runs([self.results.chat.retry], repeated_fields),
            runs([self.results.chat.expand], _remedy(REFERENCE)),
            *(runs([button.click], _remedy(name)) for name, button in self.results.remedies.items()),
            runs([fits["strategy"].click], fitting_fields),
            runs([fits["hd-num"].click], fewer_tiles_fields),
            runs([fits["anyway"].click], refused_fields, anyway=True),
            self.results.trace.click(
                self._traced, [self.session, language, self.results.against],
                [self.session, self.form.notice, self.results.flow], **COMPUTES | {"trigger_mode": "once"},
            ),
        ]  # fmt: skip
        for button, ended in ((self.form.stop, self._stopped), (self.form.clear, self._cleared)):
            button.click(
                ended, [self.session, language], self.outputs(),
                cancels=started, **STOPS,
            ).then(self._keep, self.session, self.kept, **QUIET)  # fmt: skip
        chat, question = self.results.chat, self.form.question
        undone = chat.undo(self._undone, [self.session, language], self.outputs(), **QUIET)
        edited = chat.edit(self._edited, [self.session, language], [question, *self.outputs()], **QUIET)
        edited.then(None, js=FOCUS_QUESTION, api_visibility="private")
        for changed in (undone, edited):
            changed.then(self._keep, self.session, self.kept, **QUIET)
        self.form.clear.click(lambda: "", None, question, **QUIET)

    def _predicting(self, event: Any) -> Any:
        """`event`, followed by the prediction of its run: it takes seconds, so that it has a queue of its own."""
        event.then(self._keep, self.session, self.kept, **QUIET)
        event.then(
            self._predicted, [self.session, self.language], [self.results.pairs, self.results.timeline],
            show_progress="hidden", api_visibility="private", concurrency_id=PREDICTIONS, concurrency_limit=4,
        )  # fmt: skip
        return event

    def _run(
        self, session: Session, fields: Fields, language: str, request: gr.Request, *, anyway: bool = False
    ) -> Steps:
        """Component -> value at each step of a run with `fields`; a notice where one of the visitor is in progress."""
        if self.active.busy(request.session_hash):
            yield {self.form.notice: notice(BUSY, language)}
            return
        language_now = self.languages.current(request.session_hash, language)
        steps = handlers.ask(self.runner, session, fields, preflight=self.preflight, anyway=anyway)
        yield from self._shown(self.active.followed(request.session_hash, session, steps), fields, language_now)

    def _shown(self, steps: Generator[Session, None, None], fields: Fields, language_now: Callable[[], str]) -> Steps:
        shown: tuple[Session, str] | None = None
        with closing(steps):
            for step in steps:
                before, shown = shown, (step, language_now())
                if step.running is None:
                    yield self.refreshed(*shown)
                elif before is None:
                    yield self.refreshed(*shown) | self.form.changed(fields)
                else:  # a step of many: what it leaves alone is not made again
                    yield {} if shown == before else self.results.progress(*shown)

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

    def _undone(self, session: Session, language: str) -> dict[Any, Any]:
        return self.refreshed(session.undone(), language)

    def _edited(self, session: Session, language: str) -> dict[Any, Any]:
        """The last turn's question is in the field again, and the turn is gone."""
        last = session.turns[-1].request.text
        return {self.form.question: last} | self.refreshed(session.undone(), language)

    def _cleared(self, session: Session, language: str, request: gr.Request) -> dict[Any, Any]:
        self.runner.forget()  # its prefix cache is of use to this conversation's next turn only
        return self.refreshed(self.active.stop(request.session_hash, session, Session.cleared), language)


def repeated_fields(session: Session, fields: Fields) -> Fields:
    """The conversation's last question about the same picture, with the controls' settings."""
    return handlers.remedy(session, fields, fields["strategy"])


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
