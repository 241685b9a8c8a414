"""The Learn tab: the lesson with its steps, the float explorer, and the teacher's page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.lesson.experiments import Lab, experiment
from xcomposer_ui.lesson.explorer import OPERATIONS, Calculation
from xcomposer_ui.lesson.kept_results import KeptResults
from xcomposer_ui.lesson.progress import Progress
from xcomposer_ui.lesson.step import lesson
from xcomposer_ui.planning.fit import FitChecker
from xcomposer_ui.ui import learn_handlers
from xcomposer_ui.ui.learn_handlers import FIRST_CALCULATION, FLOATS, LearnSession
from xcomposer_ui.ui.links import calculation_link, calculation_linked
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.views.float_explorer import explorer_mistake, explorer_view
from xcomposer_ui.ui.views.lesson import lesson_view

SCRIPT = ASSETS / "learn.js"

STORAGE = "xcomposer-lesson"
"""Name of the progress in the browser's storage, and the key that Gradio scrambles it with: it is no secret."""

WAITS: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""For events that wait for a step: they wait without a thread, so that any number of visitors may."""

Steps = AsyncGenerator[dict[Any, Any], None]


class LearnTab:
    """The tab's components and events. The steps' results are shared by all visitors of this process."""

    def __init__(self, page: Page, tabs: gr.Tabs, tab: gr.Tab) -> None:
        self.language, self.languages, self.tabs = page.language, page.words.languages, tabs
        words, runner = page.words, page.runner
        # On ZeroGPU it is the visitor's quota that a run spends.
        self.steps_to_prepare = () if page.settings.on_zero_gpu else lesson()
        plans = page.checks.shared_plans
        lab = Lab(runner, plans, FitChecker(plans, runner.memory_budget))
        self.results = KeptResults(lambda step: experiment(lab, step))
        self.session = gr.State(LearnSession())
        self.progress = gr.BrowserState({}, storage_key=STORAGE, secret=STORAGE)
        self.drawn = gr.State(())  # the explorer's fields as `floats` shows them
        script = SCRIPT.read_text(encoding="utf-8")
        self.page = words.view(
            lambda language: lesson_view(LearnSession(), Progress(), self.results, language),
            elem_id="lesson", js_on_load=script,
        )  # fmt: skip
        with gr.Column(visible=False, elem_id="explorer") as self.explorer:
            with gr.Row(elem_classes="xl-calculation"):
                self._fields(words)
            self.floats = words.view(
                lambda language: explorer_view(FIRST_CALCULATION, language, calculation_link(FIRST_CALCULATION)),
                elem_id="floats", js_on_load=script,
            )  # fmt: skip
        self._wire(tab)

    def follow(self, loaded: Any) -> None:
        """Show the tab in the page's language, and at the place in its address once the page is `loaded`."""
        given = [self.language, self.session, self.progress, *self.calculation]
        changed = [self.session, self.page, self.explorer, *self.calculation, self.drawn, self.floats]
        loaded.then(self._linked, given, [self.tabs, self.progress, *changed], **QUIET)
        self.language.input(self._shown, given, changed, **QUIET)

    def _shown(self, language: str, session: LearnSession, stored: Any, *fields: str) -> dict[Any, Any]:
        """Component -> value that shows `session`, the progress and the explorer's fields in `language`."""
        return self._page(session, Progress.from_browser(stored), language) | self._explored(language, *fields)

    def _linked(
        self, language: str, session: LearnSession, stored: Any, request: gr.Request, *fields: str
    ) -> dict[Any, Any]:
        """As `_shown`, at the place in the page's address, else the visitor's last one.

        The tab is selected where the address names it.
        """
        query, progress = dict(request.query_params), Progress.from_browser(stored)
        place = query.get("learn")
        session = learn_handlers.opened(place) if place else learn_handlers.back_at(progress.place)
        if place is None:
            return {self.session: session} | self._shown(language, session, stored, *fields)
        self.results.prepare(self.steps_to_prepare)
        calculation = calculation_linked(query)
        floats = self._explored(language, *fields) if calculation is None else self._filled(language, calculation)
        kept = {self.session: session, self.progress: replace(progress, place=session.place).for_browser()}
        return kept | {self.tabs: gr.Tabs(selected="learn")} | self._page(session, progress, language) | floats

    def _fields(self, words: Localization) -> None:
        first = words.make(gr.Textbox, {"label": "float.number"}, value=FIRST_CALCULATION.first, elem_id="float-first")
        operation = words.make(
            gr.Radio,
            {"label": "float.operation", "choices": [(op or "float.operation.none", op) for op in OPERATIONS]},
            value=FIRST_CALCULATION.operation, elem_id="float-operation",
        )  # fmt: skip
        second = words.make(
            gr.Textbox, {"label": "float.second"}, value=FIRST_CALCULATION.second, elem_id="float-second"
        )
        self.calculation = (first, operation, second)

    def _wire(self, tab: gr.Tab) -> None:
        state = [self.session, self.progress, self.language]
        places = [self.session, self.progress, self.page, self.explorer]
        self.page.select(self._opened, state, places, **QUIET)
        self.page.submit(self._answered, state, [self.session, self.progress, self.page], **WAITS)
        tab.select(self._prepared, None, None, **QUIET)
        shown = [self.drawn, self.floats]
        # Not `input`, which Gradio leaves out where a visitor pastes or deletes.
        gr.on(
            [field.change for field in self.calculation], self._typed,
            [self.drawn, self.language, *self.calculation], shown,
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        self.floats.select(self._clicked, self.language, [*self.calculation, *shown], **QUIET)

    def _opened(self, session: LearnSession, stored: Any, language: str, event: gr.EventData) -> dict[Any, Any]:
        sent = event._data or {}
        if sent.get("restart"):
            stored, session = {}, LearnSession()
        else:
            session = learn_handlers.opened(str(sent.get("go", "")))
        progress = replace(Progress.from_browser(stored), place=session.place)
        return {self.session: session, self.progress: progress.for_browser()} | self._page(session, progress, language)

    async def _answered(
        self, session: LearnSession, stored: Any, language: str, event: gr.EventData, request: gr.Request
    ) -> Steps:
        language_now = self.languages.current(request.session_hash, language)
        sent, progress = event._data or {}, Progress.from_browser(stored)
        if sent.get("measure"):
            async for now in learn_handlers.measured(self.results, session):
                yield {self.page: lesson_view(now, progress, self.results, language_now())}
            return
        choice = str(sent.get("choice", ""))
        async for now, answers in learn_handlers.answered(self.results, session, progress, choice):
            yield {
                self.session: now,
                self.progress: answers.for_browser(),
                self.page: lesson_view(now, answers, self.results, language_now()),
            }

    def _prepared(self) -> None:
        """Compute the steps before they are asked for, from the moment that somebody opens the tab."""
        self.results.prepare(self.steps_to_prepare)

    def _page(self, session: LearnSession, progress: Progress, language: str) -> dict[Any, Any]:
        return {
            self.page: lesson_view(session, progress, self.results, language),
            self.explorer: gr.update(visible=session.place == FLOATS),
        }

    def _typed(self, drawn: tuple[str, ...], language: str, *fields: str) -> dict[Any, Any]:
        """As `_explored`; nothing where a click filled in the fields and was drawn: the next one may have begun."""
        return {self.floats: gr.skip()} if tuple(drawn) == fields else self._explored(language, *fields)

    def _explored(self, language: str, *fields: str) -> dict[Any, Any]:
        """Component -> value that shows the calculation in the fields, or what is wrong with it."""
        try:
            calculation = learn_handlers.calculation_of(*fields)
            view = explorer_view(calculation, language, calculation_link(calculation))
        except UserError as mistake:
            view = explorer_mistake(mistake, language)
        return {self.drawn: fields, self.floats: view}

    def _clicked(self, language: str, event: gr.EventData) -> dict[Any, Any]:
        return self._filled(language, learn_handlers.calculation_from_page(event._data or {}))

    def _filled(self, language: str, calculation: Calculation) -> dict[Any, Any]:
        """Component -> value with `calculation` in the explorer's fields."""
        values = calculation.first, calculation.operation, calculation.second
        return dict(zip(self.calculation, values, strict=True)) | self._explored(language, *values)
