"""The Ask tab's left side: picture, examples, question, strategy, buttons, advanced settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.messages import Message, text, worded
from xcomposer_ui.core.request import Request, settings_of
from xcomposer_ui.core.settings import DEVICES, HALVES
from xcomposer_ui.core.strategies import STRATEGIES, strategy_choices, strategy_name
from xcomposer_ui.ui.controls import (
    DrawingInput,
    PictureInput,
    clear_notice,
    drawing_tools,
    filled_in,
    request_controls,
)
from xcomposer_ui.ui.example_gallery import ExampleGallery, question_of, questions_view
from xcomposer_ui.ui.handlers import Fields
from xcomposer_ui.ui.html import macro, render
from xcomposer_ui.ui.links import ask_fields
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.page_scripts import triggers
from xcomposer_ui.ui.views.notices import notice

UPLOAD, DRAW = "upload", "draw"

STORAGE = "xcomposer-lab"
"""Gradio encrypts what the browser keeps; a fixed key, so that it is still read after the lab was started anew."""

KEEP_FORM = """(...values) => {
  const names = %s, kept = {};
  names.forEach((name, place) => {
    const value = name === 'file' ? (values[place]?.path || '').split('/').pop() : values[place];
    if (value !== null && value !== undefined) kept[name] = String(value);
  });
  return [{...kept, ask: kept.text || '', example: kept.file}];
}"""
"""The controls' values as the query of a link to the tab (see `links`), at each change, in the browser alone."""

DRAWING_QUESTIONS = ("draw.question.describe", "draw.question.count", "draw.question.colour")
"""Questions that are offered for any drawing."""


class AskForm:
    """The controls, and the conversion of their values into the fields of a request."""

    def __init__(self, page: Page, record: type[Request] = Request) -> None:
        self.page, self.settings = page, settings_of(record)
        words = page.words
        self.source = gr.State(UPLOAD)
        self.kept = gr.BrowserState(None, storage_key="xcomposer-lab-form", secret=STORAGE)
        self._picture(words)
        self.gallery = ExampleGallery(page)
        self.question = words.make(
            gr.Textbox,
            {"label": "question", "placeholder": "question.placeholder"},
            lines=1, max_lines=8, elem_id="question",
        )  # fmt: skip
        self.strategy = words.make(
            gr.Radio,
            {"label": "strategy", "choices": strategy_choices()},
            value=Request.strategy, elem_id="strategy",
        )  # fmt: skip
        words.static(strategy_lines, elem_id="strategy-lines")
        self.strategy_chosen = gr.State(False)
        self.half = words.make(
            gr.Radio, {"label": "half", "choices": choices(HALVES)}, value=page.settings.half, elem_id="half"
        )
        self.why = gr.HTML("", elem_id="strategy-why")
        self.notice = gr.HTML("", elem_id="notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "run"}, variant="primary", elem_id="run")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="stop")
            self.clear = words.make(gr.Button, {"value": "clear"}, elem_id="clear")
        with words.make(gr.Accordion, {"label": "advanced"}, open=False, elem_id="advanced"):
            self.numbers, self.model = request_controls(page, self.settings)
            self.device = words.make(
                gr.Radio, {"label": "device", "choices": choices(DEVICES)},
                value=page.settings.device, elem_id="device",
            )  # fmt: skip
        self._wire(page.language)

    @property
    def controls(self) -> dict[str, Any]:
        """The components by the names of the request's fields."""
        return {
            "file": self.picture, "text": self.question, "strategy": self.strategy, "half": self.half,
            "model": self.model, "device": self.device, **self.numbers,
        }  # fmt: skip

    def inputs(self) -> list[Any]:
        """The components whose values are the arguments of `fields`, in order."""
        return [self.source, self.drawing, *self.controls.values()]

    def fields(self, source: str, drawing: str | None, *values: Any) -> dict[str, Any]:
        """The request's fields, unchecked; the picture is the drawing while the Draw tab is selected."""
        given = dict(zip(self.controls, values, strict=True))
        return {
            "file": drawing if source == DRAW else given["file"],
            "text": given["text"] or "",
            **{name: given[name] for name in ("strategy", "half", "model", "device")},
            **filled_in(self.settings, given),
        }

    def example(self, fields: Fields, strategy: str, language: str) -> tuple[Fields, dict[Any, Any]]:
        """The request about the first example under `strategy` ("": the chosen one), and component -> value for it.

        The picture's file is the copy that Gradio gives to the browser, as when the example is chosen in the gallery.
        """
        values = self.gallery.filled(0, language)
        chosen = {
            "file": self.copy_of(values[self.picture]),
            "text": values[self.question],
            "strategy": strategy or fields["strategy"],
        }
        return {**fields, **chosen}, values

    def changed(self, request: Request) -> dict[Any, Any]:
        """Component -> value of the controls that an offered run of `request` changes: the strategy and the tiles."""
        tiles = {self.numbers[s.name]: getattr(request, s.name) or 0 for s in self.settings if s.only_tiled}
        return {self.strategy: request.strategy, **tiles}

    def copy_of(self, picture: str) -> str:
        """The path of the copy of an example's `picture` that Gradio gives to the browser."""
        return str(save_file_to_cache(picture, self.picture.GRADIO_CACHE))

    def restored(self, query: Mapping[str, Any]) -> dict[Any, Any]:
        """Component -> value for the settings of a link, or that the browser kept; empty where there are none."""
        fields = ask_fields(
            {name: str(value) for name, value in query.items()}, self.page.settings.models, self.page.examples
        )
        return {control: fields[name] for name, control in self.controls.items() if name in fields}

    def first_strategy(self, status: Status, language: str, chosen: bool) -> dict[Any, Any]:
        """Component -> value: the lab's strategy for this machine and its reason; a chosen strategy stays."""
        if status.strategy is None:
            return {self.strategy: gr.skip(), self.why: ""}
        return {self.strategy: gr.skip() if chosen else status.strategy, self.why: strategy_why(status, language)}

    def _picture(self, words: Localization) -> None:
        with gr.Tabs(selected=UPLOAD, elem_id="picture-tabs") as self.tabs:
            with words.make(gr.Tab, {"label": "picture.upload"}, id=UPLOAD) as self.upload_tab:
                self.picture = words.make(
                    PictureInput,
                    {"label": "picture.upload", "placeholder": "picture.placeholder", "alt_text": "picture.alt"},
                    type="filepath", image_mode=None, sources=["upload", "webcam"], height=180,
                    show_label=False, buttons=["fullscreen"], elem_id="picture", elem_classes="xl-picture",
                )  # fmt: skip
            with words.make(gr.Tab, {"label": "picture.draw"}, id=DRAW) as self.draw_tab:
                with gr.Column(elem_classes="xl-drawing"):
                    words.static(lambda language: macro("quiet", language, text("draw.label", language)))
                    words.static(drawing_tools, elem_id="drawing-tools")
                    self.drawing = DrawingInput(elem_id="drawing")
                self.drawing_questions = words.static(
                    lambda language: questions_view([text(code, language) for code in DRAWING_QUESTIONS], language),
                    js_on_load=triggers("select"),
                    elem_id="drawing-questions",
                )

    def _wire(self, language: gr.Radio) -> None:
        controls = list(self.controls.values())
        gr.on(
            [control.change for control in controls], None, controls, self.kept,
            js=KEEP_FORM % json.dumps(list(self.controls)), api_visibility="private",
        )  # fmt: skip
        clear_notice(self.notice, [*controls, self.drawing])
        self.strategy.input(lambda: True, outputs=self.strategy_chosen, **QUIET)
        self.upload_tab.select(lambda: UPLOAD, outputs=self.source, **QUIET)
        self.draw_tab.select(lambda: DRAW, outputs=self.source, **QUIET)
        # `gr.Tabs(...)` here, where the page is built, would add a second, empty row of tabs to it.
        more = {self.tabs: gr.update(selected=UPLOAD), self.source: UPLOAD, self.notice: ""}
        self.gallery.fill(self.picture, self.question, more)
        self.drawing_questions.select(question_of, None, self.question, **QUIET)
        self.picture.upload(self._refused_picture, [self.picture, language], [self.picture, self.notice], **QUIET)

    def _refused_picture(self, file: str | None, language: str) -> dict[Any, Any]:
        """Component -> value after a picture was chosen: one that cannot be opened is taken away, and said why."""
        try:
            if file is not None:
                open_picture(file)
        except UserError as error:
            return {self.picture: None, self.notice: notice(error, language)}
        return {self.notice: ""}


def strategy_lines(language: str) -> str:
    """What each strategy casts where, a line each."""
    keys = ((strategy.name, strategy.key("strategy.{name}.line")) for strategy in STRATEGIES.values())
    return render("strategy_lines", language, lines=[Message(key) if key != name else name for name, key in keys])


def strategy_why(status: Status, language: str) -> str:
    """The lab's strategy for this machine and its reason; empty until both are known."""
    if status.strategy is None:
        return ""
    name, why = strategy_name(status.strategy, language), worded(status.reasons.get("strategy", ""), language)
    sentence = text("default.strategy", language, strategy=name, reason=why)
    return macro("quiet", language, sentence)


def choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(text's key, value) of dtypes or devices.

    No value may be a text's key: the browser translates values that are keys when a tab is first shown, and sends the
    translation back.
    """
    return [("choice.auto" if name == "auto" else name, name) for name in names]
