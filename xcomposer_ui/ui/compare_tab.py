"""The Compare tab: one question, or every example, under every strategy, and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import Request, settings_of
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.ui import compare_handlers
from xcomposer_ui.ui.ask_form import choices
from xcomposer_ui.ui.compare_handlers import Sessions
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.controls import PictureInput, clear_notice, filled_in, request_controls, setting_controls
from xcomposer_ui.ui.example_gallery import ExampleGallery
from xcomposer_ui.ui.handlers import Fields
from xcomposer_ui.ui.links import COMPARED, compare_fields, compare_link
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.run_tab import RunTab, labelled, offers
from xcomposer_ui.ui.session import SessionRun
from xcomposer_ui.ui.views.comparison import comparison_view
from xcomposer_ui.ui.views.notices import does_not_fit_notice, notice

FITS = ("some", "all")
"""What is offered where not every strategy fits: those that fit, or all of them."""

FIRST_VALUES = {"max_new_tokens": 64}
"""Initial values that are not the setting's default: a comparison runs each strategy several times."""


TAKE_FROM_ASK = "(picture, question, own, typed) => own || typed?.trim() ? [own, typed] : [picture, question]"
"""Of (Ask's picture and question, Compare's): Compare's, as long as it has either. In the browser, because what the
server answers would replace what the visitor has typed meanwhile."""


class CompareTab(RunTab[CompareSession]):
    """Builds the tab; `shown` gives its values anew, for another language."""

    def __init__(self, page: Page) -> None:
        super().__init__(page, CompareSession())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=4, min_width=300, elem_classes="xl-left"):
                self._form(page.words)
            with gr.Column(scale=9, min_width=300, elem_classes="xl-right"):
                self.misfit = gr.HTML("", elem_id="compare-does-not-fit")
                self.fits = offers("compare-fits", "compare", FITS)
                self.results = page.words.view(
                    lambda language: comparison_view(CompareSession(), language), elem_id="compared"
                )
        self._wire()

    def shown(self, session: CompareSession, language: str) -> dict[Any, Any]:
        whole = session.request is None or session.batch_total
        link = "" if whole or session.request is None else compare_link(session.request, self.page.examples)
        offered = [] if session.misfit is None else FITS if session.misfit.fitting else ["all"]
        return {
            self.notice: notice(session.notice, language),
            self.misfit: does_not_fit_notice(session.misfit, language),
            **labelled(self.fits, {name: text(f"compare.does_not_fit.{name}", language) for name in offered}),
            self.results: comparison_view(session, language, link),
        }

    def fields(self, *values: Any) -> dict[str, Any]:
        given = dict(zip(self.controls, values, strict=True))
        return {
            **{name: given[name] for name in ("file", "model", "device", "with_picture")},
            "text": given["text"] or "",
            "halves": tuple(half for half in HALF_DTYPES if half in (given["halves"] or ())),
            **FIRST_VALUES,
            **filled_in(COMPARED, given),
        }

    def stopped(self, session: CompareSession) -> CompareSession:
        return session.stopped()

    def taken_from_run(self, run: SessionRun) -> dict[Any, Any]:
        """Component -> value for the picture, question and settings of a run of the Ask tab."""
        request = run.request
        return {
            self.picture: request.file if request.file and Path(request.file).is_file() else None,
            self.question: request.text,
            self.halves: [run.result.half],
            self.model: request.model or self.page.settings.model,
            self.device: request.device or self.page.settings.device,
            **{self.numbers[s.name]: getattr(request, s.name) or 0 for s in settings_of(Request, flagged=True)},
        }

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; empty where it has none."""
        fields = compare_fields(query, self.page.settings.models, self.page.examples)
        values = fields | ({"halves": list(fields["halves"])} if "halves" in fields else {})
        return {control: values[name] for name, control in self.controls.items() if name in values}

    def _form(self, words: Localization) -> None:
        self.picture = words.make(
            PictureInput,
            {"label": "picture.upload", "placeholder": "picture.placeholder", "alt_text": "picture.alt"},
            type="filepath", image_mode=None, sources=["upload"], height=170, show_label=False,
            buttons=[], elem_id="compare-picture", elem_classes="xl-picture",
        )  # fmt: skip
        self.gallery = ExampleGallery(self.page, "compare-")
        self.question = words.make(
            gr.Textbox, {"label": "question", "placeholder": "question.placeholder"},
            lines=1, max_lines=8, elem_id="compare-question", elem_classes="xl-question",
        )  # fmt: skip
        self.halves = words.make(
            gr.CheckboxGroup, {"label": "compare.halves"},
            choices=list(HALF_DTYPES), value=[HALF_DTYPES[0]], elem_id="compare-halves",
        )  # fmt: skip
        self.numbers = setting_controls(self.page, settings_of(ComparisonSettings, flagged=True), "compare-")
        self.notice = gr.HTML("", elem_id="compare-notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "compare.run"}, variant="primary", elem_id="compare")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="compare-stop")
        examples = self.page.examples
        self.batch = words.make(
            gr.Button, {"value": "compare.examples"}, visible=bool(examples), size="sm", elem_id="compare-batch"
        )
        self.stressed = next((example for example in examples if example.stress_exponent), None)
        self.difference = words.make(
            gr.Button, {"value": "compare.difference"}, visible=self.stressed is not None, size="sm",
            elem_id="compare-difference",
        )  # fmt: skip
        with words.make(gr.Accordion, {"label": "advanced"}, open=False):
            asked = settings_of(Request, flagged=True)
            numbers, self.model = request_controls(self.page, asked, "compare-", FIRST_VALUES)
            self.numbers |= numbers
            self.device = words.make(
                gr.Radio, {"label": "device", "choices": choices(DEVICES)},
                value=self.page.settings.device, elem_id="compare-device",
            )  # fmt: skip
            self.with_picture = words.make(gr.Checkbox, {"label": "compare.with_picture"}, value=False)
        self.controls = {
            "file": self.picture, "text": self.question, "halves": self.halves, "model": self.model,
            "device": self.device, "with_picture": self.with_picture, **self.numbers,
        }  # fmt: skip

    def _wire(self) -> None:
        self.gallery.fill(self.picture, self.question, {self.notice: ""})
        clear_notice(self.notice, self.inputs())
        runner, checks, examples = self.page.runner, self.page.checks, self.page.examples

        def of_misfit(session: CompareSession, _: Fields, *, only_fitting: bool = False) -> Sessions:
            return compare_handlers.steps_of_misfit(runner, session, examples, only_fitting=only_fitting)

        compared = partial(compare_handlers.steps, runner, preflight=checks)
        batch = partial(compare_handlers.batch_steps, runner, examples=examples, preflight=checks)
        filled = self.difference.click(self._difference, None, self.inputs(), **QUIET)
        on = partial(self._on, name="comparison")
        events = [
            on(partial(gr.on, [self.run.click, self.question.submit]), compared),
            on(filled.then, compared),
            on(self.batch.click, batch),
            on(self.fits["some"].click, partial(of_misfit, only_fitting=True)),
            on(self.fits["all"].click, of_misfit),
        ]
        self._on_stop(events)

    def _difference(self) -> dict[Any, Any]:
        """Component -> value for a comparison in which float16 answers otherwise and bfloat16 does not."""
        if self.stressed is None:
            return {}
        return {
            self.picture: self.stressed.picture,
            self.question: self.stressed.question,
            self.halves: list(HALF_DTYPES),
            self.numbers["stress_exponent"]: self.stressed.stress_exponent,
            self.numbers["repeats"]: 1,
        }
