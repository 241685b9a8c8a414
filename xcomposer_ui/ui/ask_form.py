"""The Ask tab's left side: picture, examples, question, strategy, buttons, advanced settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.core.request import Request, settings_of
from xcomposer_ui.core.settings import DEVICES, HALVES, Settings
from xcomposer_ui.core.strategies import strategy_choices, strategy_name
from xcomposer_ui.ui.example_gallery import ExampleGallery
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.html import macro, short_name
from xcomposer_ui.ui.links import ask_fields
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.pictures import DrawingInput, PictureInput
from xcomposer_ui.ui.setting_controls import filled_in, follow_model, setting_control

PALETTE = ["#d62828", "#2a9d3a", "#1d5fd1", "#f2c714", "#7b3fb5", "#f08a1c", "#111111", "#ffffff"]
"""The colours that the embedded model knows, so that drawings show what it can name."""

UPLOAD, DRAW = "upload", "draw"


class AskForm:
    """The controls, and the conversion of their values into the fields of a request."""

    def __init__(
        self,
        words: Localization,
        settings: Settings,
        language: gr.Radio,
        examples: tuple[Example, ...],
        record: type[Request] = Request,
    ) -> None:
        self.examples, self.models = examples, settings.models
        self.settings = settings_of(record)
        self.source = gr.State(UPLOAD)
        self._picture(words)
        self.gallery = ExampleGallery(words, examples)
        self.question = words.make(
            gr.Textbox,
            {"label": "question", "placeholder": "question.placeholder", "info": "question.info"},
            lines=1, max_lines=8, elem_id="question",
        )  # fmt: skip
        self.strategy = words.make(
            gr.Radio,
            {"label": "strategy", "choices": strategy_choices("strategy.{name}.choice")},
            value=Request.strategy, elem_id="strategy",
        )  # fmt: skip
        self.why = gr.HTML("", elem_id="strategy-why")
        self.strategy_chosen = gr.State(False)
        self.half = words.make(
            gr.Radio, {"label": "half", "choices": choices(HALVES)}, value=settings.half, elem_id="half"
        )
        self.notice = gr.HTML("", elem_id="notice")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "run"}, variant="primary", elem_id="run")
            self.stop = words.make(gr.Button, {"value": "stop"}, elem_id="stop")
            self.clear = words.make(gr.Button, {"value": "clear"}, elem_id="clear")
        with words.make(gr.Accordion, {"label": "advanced"}, open=False, elem_id="advanced"):
            self._advanced(words, settings)
        self._wire(language)

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

    def changed(self, fields: Mapping[str, Any]) -> dict[Any, Any]:
        """Component -> value of the controls that an offered run changes: the strategy and the tiles."""
        tiles = {self.numbers[s.name]: fields.get(s.name) or 0 for s in self.settings if s.only_tiled}
        return {self.strategy: fields["strategy"], **tiles}

    def changing(self) -> list[Any]:
        """The components of `changed`."""
        return [self.strategy, *(self.numbers[s.name] for s in self.settings if s.only_tiled)]

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; empty where it has none."""
        fields = ask_fields(query, self.models, self.examples) or {}
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
                    type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=210,
                    show_label=False, buttons=["fullscreen"], elem_id="picture",
                )  # fmt: skip
            with words.make(gr.Tab, {"label": "picture.draw"}, id=DRAW) as self.draw_tab:
                self.drawing = words.make(
                    DrawingInput,
                    {"label": "draw.label"},
                    type="filepath", format="png", sources=(), transforms=(), layers=False, canvas_size=(336, 336),
                    fixed_canvas=True, brush=gr.Brush(default_size=14, colors=list(PALETTE)), buttons=[],
                    show_label=False, elem_id="drawing",
                )  # fmt: skip

    def _advanced(self, words: Localization, settings: Settings) -> None:
        self.numbers: dict[str, Any] = {}
        for setting in self.settings:
            if not setting.only_tiled:
                self.numbers[setting.name] = setting_control(words, setting, setting.default, settings.model)
        self.model = words.make(
            gr.Dropdown,
            {"label": "model", "choices": [(short_name(name), name) for name in settings.models]},
            value=settings.model, elem_id="model",
        )  # fmt: skip
        for setting in self.settings:
            if setting.only_tiled:
                self.numbers[setting.name] = setting_control(words, setting, setting.default, settings.model)
        follow_model(self.settings, self.numbers, self.model)
        self.device = words.make(
            gr.Radio, {"label": "device", "choices": choices(DEVICES)}, value=settings.device, elem_id="device"
        )

    def _wire(self, language: gr.Radio) -> None:
        self.strategy.input(lambda: True, outputs=self.strategy_chosen, **QUIET)
        self.upload_tab.select(lambda: UPLOAD, outputs=self.source, **QUIET)
        self.draw_tab.select(lambda: DRAW, outputs=self.source, **QUIET)
        # `gr.Tabs(...)` here, where the page is built, would add a second, empty row of tabs to it.
        more = {self.tabs: gr.update(selected=UPLOAD), self.source: UPLOAD}
        self.gallery.fill(self.picture, self.question, language, more)


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
