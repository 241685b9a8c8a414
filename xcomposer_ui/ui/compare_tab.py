"""The Compare tab: one question under every strategy, or every example, and what there is to take away."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.settings import DEVICES, Settings
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import compare_handlers, links
from xcomposer_ui.ui.active_runs import ActiveRuns
from xcomposer_ui.ui.ask_tab import MODEL_QUEUE
from xcomposer_ui.ui.compare_session import CompareForm, CompareSession
from xcomposer_ui.ui.examples import Example, by_picture, first_for
from xcomposer_ui.ui.handlers import numbers
from xcomposer_ui.ui.hd_num_field import follow_model, hd_num_field
from xcomposer_ui.ui.html import short_name
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.offer_buttons import offers
from xcomposer_ui.ui.pictures import PictureInput
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.views.comparison import compared
from xcomposer_ui.ui.views.notices import does_not_fit_notice, notice

MOST_REPEATS = 10
DEFAULTS = CompareForm("", None)

Steps = Generator[dict[Any, Any], None, None]
Compared = Generator[CompareSession, None, None]

FITS = ("some", "all")
"""What is offered where not every strategy fits: those that do, or all the same."""


class CompareTab:
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
        self.settings, self.runner, self.examples, self.preflight = settings, runner, examples, preflight
        self.pictures = by_picture(examples)
        self.visitors = words.visitors
        self.going: ActiveRuns[CompareSession] = ActiveRuns()
        self.session = gr.State(CompareSession())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=4, min_width=300, elem_classes="xl-left"):
                self._form(words)
            with gr.Column(scale=9, min_width=300, elem_classes="xl-right"):
                self.misfit = gr.HTML("", elem_id="compare-tight")
                self.fits = offers("compare-fits", "compare", FITS)
                self.results = words.view(lambda language: compared(CompareSession(), language), elem_id="compared")
        self._wire(language)

    def outputs(self) -> list[Any]:
        """Every component that the tab's events change."""
        return [self.session, self.notice, self.stop, self.misfit, *self.fits.values(), self.results]

    def shown(self, session: CompareSession, language: str) -> dict[Any, Any]:
        """Component -> value for all that shows `session` in `language`."""
        link = "" if session.form is None or session.many_total else links.compare_link(session.form, self.examples)
        offered = {"some": bool(session.unfit and session.unfit.fitting), "all": session.unfit is not None}
        return {
            self.notice: notice(session.notice, language),
            self.misfit: does_not_fit_notice(session.unfit, language),
            **{
                button: gr.update(visible=offered[name], value=text(f"compare.unfit.{name}", language))
                for name, button in self.fits.items()
            },
            self.results: compared(session, language, link),
        }

    def inputs(self) -> list[Any]:
        """The components whose values `form` takes, in its order."""
        return [
            self.picture, self.question, self.halves, self.repeats, self.max_new_tokens, self.temperature, self.seed,
            self.model, self.device, self.with_picture, self.hd_num,
        ]  # fmt: skip

    @staticmethod
    def form(
        picture: str | None, question: str | None, halves: list[str] | None, repeats: int | None,
        max_new_tokens: int | None, temperature: float | None, seed: int | None, model: str | None, device: str | None,
        with_picture: bool, hd_num: int | None,
    ) -> CompareForm:  # fmt: skip
        """What the controls say."""
        return CompareForm(
            question or "", picture, tuple(h for h in HALF_DTYPES if h in (halves or ())), model=model, device=device,
            with_picture=with_picture, hd_num=hd_num or None,
            **numbers(repeats=repeats, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed),
        )  # fmt: skip

    def restored(self, query: dict[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; nothing where there are none."""
        form = links.compare_form(query, self.settings.models, self.examples)
        if form is None:
            return {}
        return {
            self.picture: form.picture,
            self.question: form.question,
            self.halves: list(form.halves) or gr.skip(),
            self.repeats: form.repeats,
            self.max_new_tokens: form.max_new_tokens,
            self.temperature: form.temperature,
            self.seed: form.seed,
            self.model: form.model or gr.skip(),
            self.device: form.device or gr.skip(),
            self.hd_num: form.hd_num or 0,
        }

    def _form(self, words: Localization) -> None:
        self.picture = words.make(
            PictureInput,
            {"label": "picture.upload", "placeholder": "picture.placeholder", "alt_text": "picture.alt"},
            type="filepath", image_mode=None, sources=["upload", "clipboard"], height=170, show_label=False,
            buttons=[], elem_id="compare-picture",
        )  # fmt: skip
        self._gallery(words)
        self.question = words.make(
            gr.Textbox, {"label": "question", "placeholder": "question.placeholder"},
            lines=1, max_lines=8, elem_id="compare-question", elem_classes="xl-question",
        )  # fmt: skip
        self.halves = words.make(
            gr.CheckboxGroup, {"label": "compare.halves"},
            choices=list(HALF_DTYPES), value=[HALF_DTYPES[0]], elem_id="compare-halves",
        )  # fmt: skip
        self.repeats = words.make(
            gr.Slider, {"label": "compare.repeats", "info": "compare.repeats.info"},
            minimum=1, maximum=MOST_REPEATS, step=1, value=DEFAULTS.repeats, elem_id="compare-repeats",
        )  # fmt: skip
        self.notice = gr.HTML("", elem_id="compare-notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "compare.run"}, variant="primary", elem_id="compare")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="compare-stop")
        self.many = words.make(
            gr.Button, {"value": "compare.examples"}, visible=bool(self.examples), size="sm", elem_id="compare-many-run"
        )
        with words.make(gr.Accordion, {"label": "advanced"}, open=False):
            self._advanced(words)

    def _gallery(self, words: Localization) -> None:
        if not self.examples:
            self.gallery = None
            return
        self.gallery = words.make(
            gr.Gallery, {"label": "examples"},
            value=[(picture, about[0].question) for picture, about in self.pictures.items()], columns=6, height="auto",
            allow_preview=False, interactive=False, object_fit="cover", buttons=[], elem_id="compare-examples",
            elem_classes="xl-examples",
        )  # fmt: skip
        self.suggestions = words.make(
            gr.Dataset, {"label": "examples.questions"},
            components=[gr.Textbox(visible=False)], samples=[], type="tuple", visible=False,
            elem_id="compare-suggestions", elem_classes="xl-suggestions",
        )  # fmt: skip

    def _chosen(self, language: str, event: gr.SelectData) -> tuple[str, str, Any]:
        picture, about = list(self.pictures.items())[event.index]
        questions = gr.Dataset(samples=[[example.question] for example in about], visible=len(about) > 1)
        return picture, first_for(about, language).question, questions

    def _advanced(self, words: Localization) -> None:
        self.max_new_tokens = words.make(
            gr.Slider, {"label": "max_new_tokens"}, minimum=1, maximum=1024, step=1, value=DEFAULTS.max_new_tokens
        )
        self.temperature = words.make(
            gr.Slider, {"label": "temperature", "info": "temperature.info"}, minimum=0, maximum=2, step=0.05, value=0
        )
        self.seed = words.make(gr.Number, {"label": "seed"}, value=DEFAULTS.seed, precision=0, minimum=0)
        self.model = words.make(
            gr.Dropdown, {"label": "model", "choices": [(short_name(name), name) for name in self.settings.models]},
            value=self.settings.model, elem_id="compare-model",
        )  # fmt: skip
        self.hd_num = hd_num_field(words, self.settings, "compare-hd-num")
        follow_model(self.hd_num, self.model)
        self.device = words.make(
            gr.Radio, {"label": "device", "choices": [(name, name) for name in DEVICES]}, value=self.settings.device
        )
        self.with_picture = words.make(gr.Checkbox, {"label": "compare.with_picture"}, value=False)

    def _wire(self, language: gr.Radio) -> None:
        inputs = [self.session, language, *self.inputs()]
        if self.gallery is not None:
            filled = [self.picture, self.question, self.suggestions]
            self.gallery.select(self._chosen, language, filled, **QUIET)
            self.suggestions.click(lambda chosen: chosen[1][0], self.suggestions, self.question, **QUIET)

        def started(triggers: list[Any], made: Callable[[CompareSession, CompareForm], Compared]) -> Any:
            # Gradio names even private events after their functions.
            def comparing_asked(session: CompareSession, language: str, request: gr.Request, *values: Any) -> Steps:
                spoken = self.visitors.spoken(request.session_hash, language)
                steps = made(session, self.form(*values))
                yield from self._follow(self.going.followed(request.session_hash, session, steps), spoken)

            return gr.on(
                triggers, comparing_asked, inputs, self.outputs(),
                show_progress="hidden", api_visibility="private", concurrency_id=MODEL_QUEUE, concurrency_limit=1,
                trigger_mode="once",
            )  # fmt: skip

        events = [
            started([self.run.click, self.question.submit], self._steps),
            started([self.many.click], self._steps_of_many),
            started([self.fits["some"].click], self._steps_of_some),
            started([self.fits["all"].click], self._steps_of_all),
        ]
        self.stop.click(
            self._stopped, [self.session, language], self.outputs(),
            cancels=events, queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip

    def _steps(self, session: CompareSession, form: CompareForm) -> Compared:
        return compare_handlers.steps(self.runner, session, form, preflight=self.preflight)

    def _steps_of_many(self, session: CompareSession, form: CompareForm) -> Compared:
        return compare_handlers.steps_of_many(self.runner, session, form, self.examples, preflight=self.preflight)

    def _steps_of_some(self, session: CompareSession, form: CompareForm) -> Compared:
        return compare_handlers.steps_of_unfit(self.runner, session, self.examples, only_fitting=True)

    def _steps_of_all(self, session: CompareSession, form: CompareForm) -> Compared:
        return compare_handlers.steps_of_unfit(self.runner, session, self.examples)

    def _follow(self, steps: Generator[CompareSession, None, None], spoken: Callable[[], str]) -> Steps:
        with closing(steps):
            for session in steps:
                busy = gr.update(variant="stop" if session.step is not None or session.judging else "secondary")
                yield {self.session: session, self.stop: busy, **self.shown(session, spoken())}

    def _stopped(self, session: CompareSession, language: str, request: gr.Request) -> dict[Any, Any]:
        session = self.going.stop(request.session_hash, session, _ended)
        return {self.session: session, self.stop: gr.update(variant="secondary"), **self.shown(session, language)}


def _ended(session: CompareSession) -> CompareSession:
    return replace(session, judging=False) if session.step is None else session.ended(stopped=True)
