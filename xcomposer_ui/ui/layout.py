"""The page: head line, tabs, language, endpoints."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from xcomposer_ui import __version__
from xcomposer_ui.core.messages import LANGUAGES, language_of, text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.ask_form import STORAGE, strategy_why
from xcomposer_ui.ui.ask_tab import AskTab
from xcomposer_ui.ui.compare_tab import TAKE_FROM_ASK, CompareTab
from xcomposer_ui.ui.endpoints import build_endpoints
from xcomposer_ui.ui.examples import examples
from xcomposer_ui.ui.explain_tab import ExplainTab, explanation_view
from xcomposer_ui.ui.html import macro, render
from xcomposer_ui.ui.learn_tab import LearnTab
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.model_picker import ModelPicker
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.plan_tab import PlanTab
from xcomposer_ui.ui.preflight import EndablePlans, preflight
from xcomposer_ui.ui.sparse_blocks import SparseBlocks
from xcomposer_ui.ui.train_tab import TrainTab
from xcomposer_ui.ui.views.models import head_line
from xcomposer_ui.ui.views.plan import check_panel

HEAD_EVERY_SEC = 1.0
CACHE_SEC = (3600, 86400)
"""How often Gradio deletes old uploads, and the age at which it does.

`UploadCache` has deleted them long before. With these set, Gradio also deletes all uploads at an orderly end, which
matters where GRADIO_TEMP_DIR names the folder: the lab removes only a folder of its own.
"""

TITLES = json.dumps({language: text("title", language) for language in LANGUAGES}, ensure_ascii=False)
SAY_LANGUAGE = f"""(language) => {{
  document.documentElement.lang = language;
  document.title = {TITLES}[language];
  return [language];
}}"""
FOCUS_COMPARE = """() => {
  const focus = () => {
    const run = document.querySelector('#compare');
    run?.offsetParent ? run.focus() : requestAnimationFrame(focus);  // a tab is drawn a moment after it is chosen
  };
  focus();
}"""
KEEP_LANGUAGE = "(language) => [language]"
BROWSER_LANGUAGE = "(_, ...others) => [navigator.language || 'en', ...others]"


class Head:
    """Title, head line and language switch; the head line is refreshed until the runner knows its device."""

    def __init__(self, words: Localization, settings: Settings, runner: Runner) -> None:
        self.settings, self.runner = settings, runner
        with gr.Row(elem_id="head"):
            words.static(lambda language: macro("page_title", language), elem_id="title")
            self.line = words.view(lambda language: head_line(runner.status(), language), elem_id="head-line")
            self.language = words.make(
                gr.Radio,
                {"label": "language"},
                choices=[(text("language.name", name), name) for name in LANGUAGES],
                value=settings.language if settings.language in LANGUAGES else "en",
                show_label=False, container=False, elem_id="language",
            )  # fmt: skip
        self.kept = gr.BrowserState(None, storage_key="xcomposer-lab-language", secret=STORAGE)
        self.language.input(None, self.language, self.kept, js=KEEP_LANGUAGE, api_visibility="private")
        self.timer = gr.Timer(HEAD_EVERY_SEC)

    def first_language(self, kept: Any, browser: str | None) -> str:
        """The language of a page that was just loaded: the lab's setting, else the one chosen on the page, `kept`.

        browser: its own languages, for the rest.
        """
        chosen = (self.settings.language, kept)
        return next((language for language in chosen if language in LANGUAGES), language_of(browser or ""))

    def values(self, language: str) -> dict[Any, Any]:
        """Component -> value in `language`, for the runner's present state."""
        return {self.line: head_line(self.runner.status(), language)}

    def ticked(self, language: str) -> dict[Any, Any]:
        """As `values`; the timer stops once the device is known."""
        return self.values(language) | {self.timer: gr.Timer(active=self.runner.status().device is None)}


def build_app(settings: Settings, runner: Runner, plans: EndablePlans | None = None) -> tuple[gr.Blocks, gr.I18n]:
    """The page, not launched, and the texts for `launch(i18n=)`. plans: see `preflight`."""
    words = Localization(settings.language)
    fixed: dict[str, Any] = {"analytics_enabled": False, "delete_cache": CACHE_SEC, "fill_width": True}
    with SparseBlocks(title=text("title", "en"), **fixed) as app:
        head = Head(words, settings, runner)
        language = head.language
        page = Page(words, settings, runner, preflight(runner, plans), language, examples())
        with gr.Tabs(elem_id="tabs") as tabs:
            with words.make(gr.Tab, {"label": "tab.ask"}, id="ask"):
                ask = AskTab(page)
            with words.make(gr.Tab, {"label": "tab.compare"}, id="compare") as compare_tab:
                compare = CompareTab(page)
            with words.make(gr.Tab, {"label": "tab.explain"}, id="explain"):
                explain = ExplainTab(page)
            with words.make(gr.Tab, {"label": "tab.plan"}, id="plan") as plan_tab:
                plan = PlanTab(page, plan_tab)
            with words.make(gr.Tab, {"label": "tab.train"}, id="train"):
                train = TrainTab(page)
            with words.make(gr.Tab, {"label": "tab.learn"}, id="learn") as learn_tab:
                learn = LearnTab(page, tabs, learn_tab)
            several = len(settings.models) > 1
            with words.make(gr.Tab, {"label": "tab.models"}, id="models", visible=several) as models_tab:
                ModelPicker(page, models_tab, head.line, [ask.form.model, compare.model])
        about = {"version": __version__, "source": settings.source}
        words.static(lambda language: render("footer", language, **about), elem_id="about")
        words.static(
            lambda language: macro("connection_lost", language, text("connection.lost", language)), elem_id="connection"
        )
        theirs, ours = [ask.form.picture, ask.form.question], [compare.picture, compare.question]
        compare_tab.select(None, [*theirs, *ours], ours, js=TAKE_FROM_ASK, **QUIET)
        opened = ask.results.chat.apply(
            lambda session: {tabs: gr.Tabs(selected="compare"), **compare.taken_from_run(session.turns[-1])},
            ask.session, [tabs, *compare.inputs()], **QUIET,
        )  # fmt: skip
        opened.then(None, js=FOCUS_COMPARE, api_visibility="private")
        build_endpoints(page)
        with_sessions: tuple[AskTab | CompareTab | PlanTab | TrainTab, ...] = (ask, compare, plan, train)

        def in_language(language: str, pasted: str, request: gr.Request, *sessions: Any) -> dict[Any, Any]:
            """Component -> value for the whole page in `language`; runs in progress follow it too."""
            words.languages.choose(request.session_hash, language)
            shown = words.updates(language)
            for tab, session in zip(with_sessions, sessions, strict=True):
                shown |= tab.shown(session, language)
            why, explained = strategy_why(runner.status(), language), explanation_view(pasted, language)
            return shown | head.values(language) | {ask.form.why: why, explain.shown: explained}

        tabs_of_links: dict[str, Any] = {"compare": compare, "ask": ask.form, "train": train, "plan": plan}

        def initial_page(
            browser: str, kept_language: Any, pasted: str, kept: Any, kept_form: Any, request: gr.Request, *others: Any
        ) -> dict[Any, Any]:
            """Component -> value for a page that was just loaded: its language, what its address and the browser hold.

            others: the sessions of all tabs but the first. One event for all of it: each is a request, and two that
            change one component would race.
            """
            initial = head.first_language(kept_language, browser)
            session = ask.restored(kept)
            updates = in_language(initial, pasted, request, session, *others)
            query = dict(request.query_params)
            linked = {name: values for name, tab in tabs_of_links.items() if (values := tab.restored(query))}
            form = ask.form.restored(kept_form) if isinstance(kept_form, dict) and "ask" not in linked else {}
            chosen = "ask" in linked or bool(form)
            state = {language: initial, ask.session: session, ask.form.strategy_chosen: chosen}
            strategy = ask.form.first_strategy(runner.status(), initial, chosen=chosen)
            values = {
                part: gr.update(**updates.get(part, {}) | {"value": value})
                for filled in (form, *linked.values())
                for part, value in filled.items()
            }
            tab = {tabs: gr.Tabs(selected=next(iter(linked)))} if linked else {}
            return updates | strategy | values | state | tab | head.ticked(initial)

        def machine_known(chosen: bool, request: gr.Request) -> dict[Any, Any]:
            """Component -> value for what a page shows of the machine, once that and the page's language are known.

            The switch is no input: it shows its first value until the page has drawn what it was given.
            """
            if not words.languages.is_known(request.session_hash):
                return {head.timer: gr.skip()}
            language = words.languages.of(request.session_hash)
            strategy = ask.form.first_strategy(runner.status(), language, chosen or "ask" in request.query_params)
            return head.ticked(language) | strategy | {plan.check: check_panel(runner.machine.known, language)}

        def machine_loaded(language: str, request: gr.Request) -> dict[Any, Any]:
            """Component -> value of the head line after a run, which may have loaded another model."""
            return head.values(words.languages.of(request.session_hash, language))

        sessions = [tab.session for tab in with_sessions]
        outputs = [part for tab in with_sessions for part in tab.outputs()]
        changed = list(dict.fromkeys([*words.components(), *outputs, head.line, explain.shown, ask.form.why]))
        loaded = app.load(
            initial_page,
            [gr.Textbox(visible=False), head.kept, explain.pasted, ask.kept, ask.form.kept, *sessions[1:]],
            list(dict.fromkeys([
                *changed, language, tabs, head.timer, ask.form.strategy_chosen, plan.controls["model"],
                *ask.form.inputs(), *compare.inputs(), *train.inputs(),
            ])),
            js=BROWSER_LANGUAGE, **QUIET,
        )  # fmt: skip
        loaded.then(None, language, None, js=SAY_LANGUAGE, api_visibility="private")
        learn.follow(loaded)
        language.input(in_language, [language, explain.pasted, *sessions], changed, **QUIET)
        head.timer.tick(
            machine_known,
            ask.form.strategy_chosen,
            [head.timer, head.line, ask.form.strategy, ask.form.why, plan.check],
            **QUIET,
        )
        ask.results.runs.change(machine_loaded, language, [head.line], **QUIET)
        language.change(None, language, None, js=SAY_LANGUAGE, api_visibility="private")
    return app, words.i18n()
