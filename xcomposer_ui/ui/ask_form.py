"""The Ask tab's left side: picture, examples, question, strategy, buttons, advanced settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.settings import DEVICES, HALVES, Settings
from xcomposer_ui.core.strategies import strategy_choices
from xcomposer_ui.planning.hardware import FIRST_STRATEGY
from xcomposer_ui.ui.examples import Example, by_picture, first_for
from xcomposer_ui.ui.handlers import numbers
from xcomposer_ui.ui.hd_num_field import follow_model, hd_num_field
from xcomposer_ui.ui.html import macro, short_name
from xcomposer_ui.ui.links import ask_form
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.pictures import DrawingInput, PictureInput
from xcomposer_ui.ui.session import Form
from xcomposer_ui.ui.views.explanation import strategy_label

PALETTE = ["#d62828", "#2a9d3a", "#1d5fd1", "#f2c714", "#7b3fb5", "#f08a1c", "#111111", "#ffffff"]
"""The colours that the embedded model knows, so that drawings are about what it can name."""

DEFAULTS = Question(text="")


class AskForm:
    """The controls, and how their values become a `Form`."""

    def __init__(
        self, words: Localization, settings: Settings, language: gr.Radio, examples: tuple[Example, ...]
    ) -> None:
        self.listed, self.models = examples, settings.models
        self.examples = by_picture(examples)
        self.source = gr.State("upload")
        self._picture(words)
        self._gallery(words)
        self.question = words.make(
            gr.Textbox,
            {"label": "question", "placeholder": "question.placeholder", "info": "question.info"},
            lines=1, max_lines=8, elem_id="question",
        )  # fmt: skip
        self.strategy = words.make(
            gr.Radio,
            {"label": "strategy", "choices": strategy_choices("strategy.{name}.choice")},
            value=FIRST_STRATEGY, elem_id="strategy",
        )  # fmt: skip
        self.why = gr.HTML("", elem_id="strategy-why")
        self.chose = gr.State(False)
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

    def inputs(self) -> list[Any]:
        """The components whose values `form` takes, in its order."""
        return [
            self.source, self.picture, self.drawing, self.question, self.strategy, self.half, self.model, self.device,
            self.max_new_tokens, self.temperature, self.top_p, self.repetition_penalty, self.seed, self.hd_num,
        ]  # fmt: skip

    @staticmethod
    def form(
        source: str, picture: str | None, drawing: str | None, question: str | None, strategy: str, half: str | None,
        model: str | None, device: str | None, max_new_tokens: int | None, temperature: float | None,
        top_p: float | None, repetition_penalty: float | None, seed: int | None, hd_num: int | None,
    ) -> Form:  # fmt: skip
        """What the controls say; the drawing counts where its tab is open."""
        return Form(
            question=question or "",
            picture=drawing if source == "draw" else picture,
            strategy=strategy,
            half=half,
            model=model,
            device=device,
            hd_num=hd_num or None,
            **numbers(
                max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p,
                repetition_penalty=repetition_penalty, seed=seed,
            ),
        )  # fmt: skip

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the settings in the page's address; nothing where there are none."""
        form = ask_form(query, self.models, self.listed)
        if form is None:
            return {}
        return {
            self.picture: form.picture,
            self.question: form.question,
            self.strategy: form.strategy or gr.skip(),
            self.half: form.half or gr.skip(),
            self.model: form.model or gr.skip(),
            self.device: form.device or gr.skip(),
            self.max_new_tokens: form.max_new_tokens,
            self.temperature: form.temperature,
            self.top_p: form.top_p,
            self.repetition_penalty: form.repetition_penalty,
            self.seed: form.seed,
            self.hd_num: form.hd_num or 0,
        }

    def begun_with(self, status: Status, language: str, chose: bool) -> dict[Any, Any]:
        """Component -> value: the strategy to begin with, unless one was chosen, and why it is that one."""
        if status.strategy is None:
            return {self.strategy: gr.skip(), self.why: ""}
        return {self.strategy: gr.skip() if chose else status.strategy, self.why: strategy_why(status, language)}

    def _picture(self, words: Localization) -> None:
        with gr.Tabs(selected="upload", elem_id="picture-tabs") as self.tabs:
            with words.make(gr.Tab, {"label": "picture.upload"}, id="upload") as self.upload_tab:
                self.picture = words.make(
                    PictureInput,
                    {"label": "picture.upload", "placeholder": "picture.placeholder", "alt_text": "picture.alt"},
                    type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=210,
                    show_label=False, buttons=["fullscreen"], elem_id="picture",
                )  # fmt: skip
            with words.make(gr.Tab, {"label": "picture.draw"}, id="draw") as self.draw_tab:
                self.drawing = words.make(
                    DrawingInput,
                    {"label": "draw.label"},
                    type="filepath", format="png", sources=(), transforms=(), layers=False, canvas_size=(336, 336),
                    fixed_canvas=True, brush=gr.Brush(default_size=14, colors=list(PALETTE)), buttons=[],
                    show_label=False, elem_id="drawing",
                )  # fmt: skip

    def _gallery(self, words: Localization) -> None:
        if not self.examples:
            self.gallery = None
            return
        self.gallery = words.make(
            gr.Gallery,
            {"label": "examples"},
            value=[(picture, about[0].question) for picture, about in self.examples.items()],
            columns=6, height="auto", allow_preview=False, interactive=False, object_fit="cover", buttons=[],
            elem_id="examples",
        )  # fmt: skip
        self.suggestions = words.make(
            gr.Dataset,
            {"label": "examples.questions"},
            components=[gr.Textbox(visible=False)], samples=[], type="tuple", visible=False, elem_id="suggestions",
        )  # fmt: skip

    def _wire(self, language: gr.Radio) -> None:
        self.strategy.input(lambda: True, outputs=self.chose, **QUIET)
        self.upload_tab.select(lambda: "upload", outputs=self.source, **QUIET)
        self.draw_tab.select(lambda: "draw", outputs=self.source, **QUIET)
        if self.gallery is not None:
            filled = [self.tabs, self.source, self.picture, self.question, self.suggestions]
            self.gallery.select(self._chosen, language, filled, **QUIET)
            self.suggestions.click(lambda chosen: chosen[1][0], self.suggestions, self.question, **QUIET)

    def _chosen(self, language: str, event: gr.SelectData) -> tuple[Any, str, str, str, Any]:
        picture, about = list(self.examples.items())[event.index]
        questions = gr.Dataset(samples=[[example.question] for example in about], visible=len(about) > 1)
        return gr.Tabs(selected="upload"), "upload", picture, first_for(about, language).question, questions

    def _advanced(self, words: Localization, settings: Settings) -> None:
        self.max_new_tokens = words.make(
            gr.Slider, {"label": "max_new_tokens"}, minimum=1, maximum=1024, step=1, value=DEFAULTS.max_new_tokens
        )
        self.temperature = words.make(
            gr.Slider, {"label": "temperature", "info": "temperature.info"},
            minimum=0, maximum=2, step=0.05, value=DEFAULTS.temperature,
        )  # fmt: skip
        self.top_p = words.make(
            gr.Slider, {"label": "top_p", "info": "top_p.info"},
            minimum=0.05, maximum=1, step=0.05, value=DEFAULTS.top_p,
        )  # fmt: skip
        self.repetition_penalty = words.make(
            gr.Slider, {"label": "repetition_penalty", "info": "repetition_penalty.info"},
            minimum=1, maximum=2, step=0.05, value=DEFAULTS.repetition_penalty,
        )  # fmt: skip
        self.seed = words.make(gr.Number, {"label": "seed"}, value=DEFAULTS.seed, precision=0, minimum=0)
        self.model = words.make(
            gr.Dropdown,
            {"label": "model", "choices": [(short_name(name), name) for name in settings.models]},
            value=settings.model, elem_id="model",
        )  # fmt: skip
        self.hd_num = hd_num_field(words, settings, "hd-num")
        follow_model(self.hd_num, self.model)
        self.device = words.make(
            gr.Radio, {"label": "device", "choices": choices(DEVICES)}, value=settings.device, elem_id="device"
        )


def strategy_why(status: Status, language: str) -> str:
    """Which strategy is chosen where nobody chose, and why; empty where that is not known."""
    if status.strategy is None:
        return ""
    name, why = strategy_label(status.strategy, language), worded(status.reasons.get("strategy", ""), language)
    said = text("default.strategy", language, strategy=name, reason=why)
    return macro("quiet", language, said)


def choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(text's key, value) of dtypes or devices. No key is also a value: the browser puts values that are keys into
    words too, when a tab is first shown, and sends the words back."""
    return [("choice.auto" if name == "auto" else name, name) for name in names]
