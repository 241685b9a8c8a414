"""The Train tab: the embedded model fine-tuned under each recipe, live."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import settings_of
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.finetuning.recipes import MISTAKES, OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import train_handlers
from xcomposer_ui.ui.ask_form import choices
from xcomposer_ui.ui.controls import clear_notice, setting_controls
from xcomposer_ui.ui.links import train_fields, train_link
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.run_tab import RunTab, labelled, offers
from xcomposer_ui.ui.train_handlers import Sessions, TrainSession
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.training import training_view

FIRST_SETTINGS = ("steps", "batch", "learning_rate", "loss_divisor")
"""The settings that are shown at once; the others are under Advanced."""


class TrainTab(RunTab[TrainSession]):
    """Builds the tab; `shown` gives its values anew, for another language."""

    def __init__(self, page: Page) -> None:
        super().__init__(page, TrainSession())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=4, min_width=300, elem_classes="xl-left"):
                self._form(page.words)
            with gr.Column(scale=9, min_width=300, elem_classes="xl-right"):
                self.remedies = offers("train-remedies", "train-remedy", RECIPES)
                self.results = page.words.view(
                    lambda language: training_view(TrainSession(), language), elem_id="trained"
                )
        self._wire()

    def shown(self, session: TrainSession, language: str) -> dict[Any, Any]:
        link = "" if session.finetuning is None else train_link(session.finetuning.request)
        names = {name: text(RECIPES[name].key, language) for name in session.remedies}
        labels = {name: text("train.remedy", language, recipe=recipe) for name, recipe in names.items()}
        return {
            self.notice: notice(session.notice, language),
            **labelled(self.remedies, labels),
            self.results: training_view(session, language, link),
        }

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

    def stopped(self, session: TrainSession) -> TrainSession:
        return session.stopped()

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; empty where it has none."""
        fields = train_fields(query)
        if (names := fields.get("recipes")) is not None:
            fields["recipes"] = [name for name in RECIPES if name in names]
            fields["mistakes"] = [name for name in MISTAKES if name in names]
        return {control: fields[name] for name, control in self.controls.items() if name in fields}

    def _form(self, words: Localization) -> None:
        defaults = FinetuningRequest()
        kind = words.make(
            gr.Dropdown,
            {
                "label": "train.kind", "info": "train.kind.info",
                "choices": [(f"train.kind.{name}", name) for name in QUESTION_KINDS],
            },
            value=defaults.kind, elem_id="train-kind",
        )  # fmt: skip
        recipes = words.make(
            gr.CheckboxGroup,
            {"label": "train.recipes", "choices": [(recipe.key, name) for name, recipe in RECIPES.items()]},
            value=list(defaults.recipes), elem_id="train-recipes",
        )  # fmt: skip
        mistakes = words.make(
            gr.CheckboxGroup,
            {"label": "train.mistakes", "choices": [(recipe.key, name) for name, recipe in MISTAKES.items()]},
            value=[], elem_id="train-mistakes",
        )  # fmt: skip
        numbers = self._number_controls(FIRST_SETTINGS)
        self.notice = gr.HTML("", elem_id="train-notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "train.run"}, variant="primary", elem_id="train")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="train-stop")
        with words.make(gr.Accordion, {"label": "advanced"}, open=False):
            optimizer = words.make(
                gr.Radio, {"label": "train.optimizer", "choices": [(f"train.{name}", name) for name in OPTIMIZERS]},
                value=defaults.optimizer, elem_id="train-optimizer",
            )  # fmt: skip
            numbers |= self._number_controls(("epsilon", "seed"))
            device = words.make(
                gr.Radio, {"label": "device", "choices": choices(DEVICES)},
                value=self.page.settings.device, elem_id="train-device",
            )  # fmt: skip
        chosen = {"recipes": recipes, "mistakes": mistakes, "kind": kind, "optimizer": optimizer, "device": device}
        self.controls = chosen | numbers  # mistakes are recipes too

    def _number_controls(self, names: tuple[str, ...]) -> dict[str, Any]:
        return setting_controls(self.page, (s for s in settings_of(FinetuningRequest) if s.name in names), "train-")

    def _wire(self) -> None:
        clear_notice(self.notice, self.inputs())
        runner = self.page.runner
        handlers = [(self.run.click, partial(train_handlers.steps, runner))]
        handlers += [(button.click, partial(_remedied, runner, recipe)) for recipe, button in self.remedies.items()]
        self._on_stop([self._on(listen, handler, "training") for listen, handler in handlers])


def _remedied(runner: Runner, recipe: str, session: TrainSession, _: Mapping[str, Any]) -> Sessions:
    return train_handlers.remedy_steps(runner, session, recipe)
