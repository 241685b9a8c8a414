"""The Train tab: the embedded model fine-tuned under each recipe, live."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import settings_of
from xcomposer_ui.core.settings import DEVICES, Settings
from xcomposer_ui.finetuning.recipes import MISTAKES, OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import train_handlers
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.ask_tab import BUSY, COMPUTES, STOPS
from xcomposer_ui.ui.links import train_fields, train_link
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.offer_buttons import offers
from xcomposer_ui.ui.setting_controls import setting_control
from xcomposer_ui.ui.train_handlers import TrainSession
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.training import training_view

Steps = Generator[dict[Any, Any], None, None]
Sessions = Generator[TrainSession, None, None]

FIRST_SETTINGS = ("steps", "batch", "learning_rate", "loss_divisor")
"""The settings that are shown at once; the others are under Advanced."""


class TrainTab:
    """Builds the tab; `shown` gives its values anew, for another language."""

    def __init__(self, words: Localization, settings: Settings, runner: Runner, language: gr.Radio) -> None:
        self.settings, self.runner = settings, runner
        self.languages = words.languages
        self.active: ActiveRuns[TrainSession] = ActiveRuns()
        self.session = gr.State(TrainSession())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=4, min_width=300, elem_classes="xl-left"):
                self._form(words)
            with gr.Column(scale=9, min_width=300, elem_classes="xl-right"):
                self.remedies = offers("train-remedies", "train-remedy", RECIPES)
                self.results = words.view(lambda language: training_view(TrainSession(), language), elem_id="trained")
        self._wire(language)

    def outputs(self) -> list[Any]:
        """Every component that the tab's events change."""
        return [self.session, self.notice, self.stop, *self.remedies.values(), self.results]

    def shown(self, session: TrainSession, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""
        link = "" if session.finetuning is None else train_link(session.finetuning.request)
        offered = session.remedies
        return {
            self.notice: notice(session.notice, language),
            **{
                button: gr.update(visible=name in offered, value=_remedy(name, language))
                for name, button in self.remedies.items()
            },
            self.results: training_view(session, language, link),
        }

    @property
    def controls(self) -> dict[str, Any]:
        """The components by the names of the request's fields; `mistakes` are recipes too."""
        return {
            "recipes": self.recipes, "mistakes": self.mistakes, "kind": self.kind, "optimizer": self.optimizer,
            "device": self.device, **self.numbers,
        }  # fmt: skip

    def inputs(self) -> list[Any]:
        """The components whose values are the arguments of `fields`, in order."""
        return list(self.controls.values())

    def fields(self, *values: Any) -> dict[str, Any]:
        """The request's fields, unchecked; an empty number box leaves the default."""
        given = dict(zip(self.controls, values, strict=True))
        chosen = {*(given["recipes"] or ()), *(given["mistakes"] or ())}
        numbers = {s.name: given[s.name] for s in settings_of(FinetuningRequest)}
        return {
            "recipes": tuple(name for name in RECIPES | MISTAKES if name in chosen),
            **{name: given[name] for name in ("kind", "optimizer", "device")},
            **{name: value for name, value in numbers.items() if value is not None},
        }

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; empty where it has none."""
        fields = train_fields(query)
        if fields is None:
            return {}
        names = fields.pop("recipes", None)
        if names is not None:
            fields["recipes"] = [name for name in RECIPES if name in names]
            fields["mistakes"] = [name for name in MISTAKES if name in names]
        return {control: fields[name] for name, control in self.controls.items() if name in fields}

    def _form(self, words: Localization) -> None:
        defaults = FinetuningRequest()
        self.kind = words.make(
            gr.Dropdown,
            {
                "label": "train.kind", "info": "train.kind.info",
                "choices": [(f"train.kind.{name}", name) for name in QUESTION_KINDS],
            },
            value=defaults.kind, elem_id="train-kind",
        )  # fmt: skip
        self.recipes = words.make(
            gr.CheckboxGroup,
            {"label": "train.recipes", "choices": [(recipe.key, name) for name, recipe in RECIPES.items()]},
            value=list(defaults.recipes), elem_id="train-recipes",
        )  # fmt: skip
        self.mistakes = words.make(
            gr.CheckboxGroup,
            {"label": "train.mistakes", "choices": [(recipe.key, name) for name, recipe in MISTAKES.items()]},
            value=[], elem_id="train-mistakes",
        )  # fmt: skip
        self.numbers: dict[str, Any] = {}
        self._number_controls(words, FIRST_SETTINGS)
        self.notice = gr.HTML("", elem_id="train-notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "train.run"}, variant="primary", elem_id="train")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="train-stop")
        with words.make(gr.Accordion, {"label": "advanced"}, open=False):
            self.optimizer = words.make(
                gr.Radio, {"label": "train.optimizer", "choices": [(f"train.{name}", name) for name in OPTIMIZERS]},
                value=defaults.optimizer, elem_id="train-optimizer",
            )  # fmt: skip
            self._number_controls(words, ("epsilon", "seed"))
            self.device = words.make(
                gr.Radio, {"label": "device", "choices": [(name, name) for name in DEVICES]},
                value=self.settings.device, elem_id="train-device",
            )  # fmt: skip

    def _number_controls(self, words: Localization, names: tuple[str, ...]) -> None:
        for setting in settings_of(FinetuningRequest):
            if setting.name in names:
                control = setting_control(words, setting, setting.default, self.settings.model, "train-")
                self.numbers[setting.name] = control

    def _wire(self, language: gr.Radio) -> None:
        def on(trigger: Any, handler: Callable[[TrainSession, Mapping[str, Any]], Sessions]) -> Any:
            # Gradio names even private events after their functions; "train" is the endpoint's name.
            def training(session: TrainSession, language: str, request: gr.Request, *values: Any) -> Steps:
                if self.active.busy(request.session_hash):
                    yield {self.notice: notice(BUSY, language)}
                    return
                language_now = self.languages.current(request.session_hash, language)
                steps = handler(session, self.fields(*values))
                yield from self._follow(self.active.followed(request.session_hash, session, steps), language_now)

            inputs = [self.session, language, *self.inputs()]
            return trigger(training, inputs, self.outputs(), **COMPUTES)

        runner = self.runner
        events = [on(self.run.click, lambda session, fields: train_handlers.steps(runner, session, fields))]
        for name, button in self.remedies.items():
            events.append(
                on(button.click, lambda session, _, name=name: train_handlers.remedy_steps(runner, session, name))  # type: ignore[misc]
            )
        self.stop.click(self._stopped, [self.session, language], self.outputs(), cancels=events, **STOPS)

    def _follow(self, steps: Sessions, language_now: Callable[[], str]) -> Steps:
        latest: TrainSession | None = None
        with closing(steps):
            for session in steps:
                if session is latest:  # nothing to draw, but a moment at which Gradio can stop the run
                    yield {self.stop: gr.skip()}
                    continue
                latest = session
                busy = gr.update(variant="stop" if session.running else "secondary")
                yield {self.session: session, self.stop: busy, **self.shown(session, language_now())}

    def _stopped(self, session: TrainSession, language: str, request: gr.Request) -> dict[Any, Any]:
        session = self.active.stop(request.session_hash, session, lambda newest: newest.ended(stopped=True))
        return {self.session: session, self.stop: gr.update(variant="secondary"), **self.shown(session, language)}


def _remedy(name: str, language: str) -> str:
    return text("train.remedy", language, recipe=text(RECIPES[name].key, language))
