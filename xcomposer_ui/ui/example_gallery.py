"""The gallery of example pictures, and the questions about the one that is chosen."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xcomposer_ui.ui.examples import Example, by_picture, first_for
from xcomposer_ui.ui.localization import QUIET, Localization


class ExampleGallery:
    """Builds the gallery; nothing is built where there are no examples. prefix: of the elements' ids."""

    def __init__(self, words: Localization, examples: tuple[Example, ...], prefix: str = "") -> None:
        self.pictures = by_picture(examples)
        if not examples:
            return
        classes = {"elem_classes": "xl-examples"} if prefix else {}
        self.gallery = words.make(
            gr.Gallery,
            {"label": "examples"},
            value=[(picture, about[0].question) for picture, about in self.pictures.items()],
            columns=6, height="auto", allow_preview=False, interactive=False, object_fit="cover", buttons=[],
            elem_id=f"{prefix}examples", **classes,
        )  # fmt: skip
        classes = {"elem_classes": "xl-suggestions"} if prefix else {}
        self.suggestions = words.make(
            gr.Dataset,
            {"label": "examples.questions"},
            components=[gr.Textbox(visible=False)], samples=[], type="tuple", visible=False,
            elem_id=f"{prefix}suggestions", **classes,
        )  # fmt: skip

    def fill(self, picture: Any, question: gr.Textbox, language: gr.Radio, more: dict[Any, Any] | None = None) -> None:
        """Wire the events: a chosen example fills `picture` and `question`. more: component -> value, filled too."""
        if not self.pictures:
            return

        def chosen(language: str, event: gr.SelectData) -> dict[Any, Any]:
            file, about = list(self.pictures.items())[event.index]
            samples = [[example.question] for example in about]
            return {
                picture: file,
                question: first_for(about, language).question,
                self.suggestions: gr.Dataset(samples=samples, visible=len(about) > 1),
                **(more or {}),
            }

        self.gallery.select(chosen, language, [picture, question, self.suggestions, *(more or {})], **QUIET)
        self.suggestions.click(lambda chosen: chosen[1][0], self.suggestions, question, **QUIET)
