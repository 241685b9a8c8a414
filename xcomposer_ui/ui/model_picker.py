"""The Models tab: the offered models, the memory that each needs, and a choice that loads one of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.planning.catalogue import Entry, entry_of
from xcomposer_ui.ui.controls import model_choices
from xcomposer_ui.ui.html import short_name
from xcomposer_ui.ui.localization import QUIET
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.plan_tab import PLAN_QUEUE
from xcomposer_ui.ui.run_tab import COMPUTES, STOPS
from xcomposer_ui.ui.views.models import head_line, models_table
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.run_status import loading_view

Steps = Generator[dict[Any, Any], None, None]


class ModelPicker:
    """The tab's components and events. line: the head line. others: dropdowns on other tabs whose value is a model."""

    def __init__(self, page: Page, tab: gr.Tab, line: gr.HTML, others: Sequence[Any]) -> None:
        self.page, self.line, self.others = page, line, others
        words, models = page.words, page.settings.models
        self.table = words.view(self._table, elem_id="models")
        self.choice = words.make(
            gr.Radio,
            {"label": "models.choose"},
            choices=model_choices(models), value=page.settings.model, elem_id="choose-model",
        )  # fmt: skip
        self.notice = gr.HTML("", elem_id="models-notice")
        self.stage = gr.HTML(loading_view(None, None, "en"), elem_id="models-stage")
        self.stop = words.make(gr.Button, {"value": "models.stop"}, visible=False, size="sm", elem_id="models-stop")
        self._wire(page.language, tab)

    def shown(self, language: str) -> dict[Any, Any]:
        """Component -> value for the table and the choice in the runner's present state."""
        return {self.table: self._table(language), self.choice: self.page.runner.status().model}

    def planned(self, language: str) -> Generator[str, None, None]:
        """Plan the models whose fit is not known, and yield the table after each and at the end.

        Gradio empties the outputs of a generator that yields nothing.
        """
        for entry in [entry_of(name) for name in self.page.settings.models]:
            if self._fitting(entry, wait=False) is None and self._fitting(entry, wait=True) is not None:
                yield self._table(language)
        yield self._table(language)

    def idle(self, language: str) -> dict[Any, Any]:
        """Component -> value when nothing is being loaded."""
        return self.shown(language) | {
            self.stage: loading_view(None, None, language),
            self.stop: gr.update(visible=False),
        }

    def _loaded(self, name: str, language: str) -> Steps:
        """Load `name`, and yield each step; where that fails, the error and the model that stays loaded."""
        try:
            with closing(self.page.runner.load(name)) as events:
                for event in events:
                    yield self._step(event, language)
        except UserError as mistake:
            yield self.idle(language) | {self.notice: notice(mistake, language)}
        else:
            ready = {self.stage: loading_view(None, short_name(name), language), self.notice: ""}
            line = head_line(self.page.runner.status(), language)
            yield self.idle(language) | ready | dict.fromkeys(self.others, name) | {self.line: line}

    def _wire(self, language: gr.Radio, tab: gr.Tab) -> None:
        outputs = [self.table, self.choice, self.notice, self.stage, self.stop, self.line, *self.others]
        once = COMPUTES | {"trigger_mode": "once"}
        loading = self.choice.input(self._loaded, [self.choice, language], outputs, **once)
        self.stop.click(self.idle, language, outputs, cancels=[loading], **STOPS)
        tab.select(self.shown, language, [self.table, self.choice], **QUIET).then(
            self.planned, language, self.table, show_progress="hidden", api_visibility="private",
            concurrency_id=PLAN_QUEUE, concurrency_limit=1,
        )  # fmt: skip
        language.change(self._table, language, self.table, **QUIET)

    def _step(self, event: Waiting | Loading, language: str) -> dict[Any, Any]:
        downloading = isinstance(event, Loading) and event.stage == "download"
        return {
            self.stage: loading_view(event, None, language), self.notice: "", self.stop: gr.update(visible=downloading),
        }  # fmt: skip

    def _table(self, language: str) -> str:
        entries = [entry_of(name) for name in self.page.settings.models]
        fitting = {entry.name: self._fitting(entry, wait=False) for entry in entries}
        return models_table(entries, self.page.runner.status(), fitting, language)

    def _fitting(self, entry: Entry, *, wait: bool) -> tuple[str, ...] | None:
        # A model whose configuration is not on this machine would have to be downloaded to be planned.
        if entry.parameters is None:
            return None
        return self.page.checks.fitting.strategies(
            entry.name, self.page.runner.status().half or HALF_DTYPES[0], wait=wait
        )
