"""The Models tab: the offered models, the memory that each needs, and a choice that loads one of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.planning.catalogue import Entry, entry_of
from xcomposer_ui.planning.fit import FitChecker
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.html import short_name
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.plan_tab import PLAN_QUEUE
from xcomposer_ui.ui.run_tab import COMPUTES, STOPS
from xcomposer_ui.ui.views.models import head_line, models_table
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.run_status import loading_view

Steps = Generator[dict[Any, Any], None, None]


class ModelPicker:
    """The tab's components. `follow` wires them, and the controls on other tabs that show the model."""

    def __init__(
        self, words: Localization, settings: Settings, runner: Runner, fitting: FitChecker, tab: gr.Tab
    ) -> None:
        self.settings, self.runner, self.fitting = settings, runner, fitting
        self.table = words.view(self._table, elem_id="models")
        self.choice = words.make(
            gr.Radio,
            {"label": "models.choose", "choices": [(short_name(name), name) for name in settings.models]},
            value=settings.model, elem_id="choose-model",
        )  # fmt: skip
        self.notice = gr.HTML("", elem_id="models-notice")
        self.stage = gr.HTML(loading_view(None, None, "en"), elem_id="models-stage")
        self.stop = words.make(gr.Button, {"value": "models.stop"}, visible=False, size="sm", elem_id="models-stop")
        self._tab = tab

    def follow(self, language: gr.Radio, line: gr.HTML, others: Sequence[Any]) -> None:
        """Wire the events. line: the head line. others: dropdowns whose value is a model."""
        outputs = [self.table, self.choice, self.notice, self.stage, self.stop, line, *others]

        def chosen(name: str, language: str) -> Steps:
            for step in self._loaded(name, language):
                if step.pop("done", False):
                    step |= dict.fromkeys(others, name) | {line: head_line(self.runner.status(), language)}
                yield step

        loading = self.choice.input(chosen, [self.choice, language], outputs, **COMPUTES | {"trigger_mode": "once"})
        self.stop.click(self.idle, language, outputs, cancels=[loading], **STOPS)
        self._tab.select(self.shown, language, [self.table, self.choice], **QUIET).then(
            self.planned, language, self.table, show_progress="hidden", api_visibility="private",
            concurrency_id=PLAN_QUEUE, concurrency_limit=1,
        )  # fmt: skip
        language.change(lambda language: self._table(language), language, self.table, **QUIET)

    def shown(self, language: str) -> dict[Any, Any]:
        """Component -> value for the table and the choice in the runner's present state."""
        return {self.table: self._table(language), self.choice: self.runner.status().model}

    def planned(self, language: str) -> Generator[str, None, None]:
        """Plan the models whose fit is not known, and yield the table after each and at the end.

        Gradio empties the outputs of a generator that yields nothing.
        """
        for entry in [entry_of(name) for name in self.settings.models]:
            if self._fitting(entry, wait=False) is None and self._fitting(entry, wait=True) is not None:
                yield self._table(language)
        yield self._table(language)

    def idle(self, language: str) -> dict[Any, Any]:
        """Component -> value when nothing is being loaded."""
        return self.shown(language) | {self.stage: loading_view(None, None, language), self.stop: _visible(False)}

    def _loaded(self, name: str, language: str) -> Generator[dict[Any, Any], None, None]:
        """Load `name`, and yield each step; where that fails, the error and the model that stays loaded."""
        events = self.runner.load(name)
        try:
            for event in events:
                yield self._step(event, language)
        except UserError as mistake:
            yield self.idle(language) | {self.notice: notice(mistake, language)}
        else:
            ready = {self.stage: loading_view(None, short_name(name), language), self.notice: "", "done": True}
            yield self.idle(language) | ready
        finally:
            events.close()

    def _step(self, event: Waiting | Loading, language: str) -> dict[Any, Any]:
        downloading = isinstance(event, Loading) and event.stage == "download"
        return {
            self.stage: loading_view(event, None, language), self.notice: "", self.stop: _visible(downloading),
        }  # fmt: skip

    def _table(self, language: str) -> str:
        entries = [entry_of(name) for name in self.settings.models]
        fitting = {entry.name: self._fitting(entry, wait=False) for entry in entries}
        return models_table(entries, self.runner.status(), fitting, language)

    def _fitting(self, entry: Entry, *, wait: bool) -> tuple[str, ...] | None:
        # A model whose configuration is not on this machine would have to be downloaded to be planned.
        if entry.parameters is None:
            return None
        return self.fitting.strategies(entry.name, self.runner.status().half or HALF_DTYPES[0], wait=wait)


def _visible(visible: bool) -> Any:
    return gr.update(visible=visible)
