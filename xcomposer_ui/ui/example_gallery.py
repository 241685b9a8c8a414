"""The gallery of example pictures, and the questions about the one that is chosen."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xcomposer_ui.ui.examples import Example, by_picture, first_for
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.page_scripts import triggers
from xcomposer_ui.ui.views.examples import examples_view, questions_view


class ExampleGallery:
    """Builds the gallery; nothing is built where there are no examples. prefix: of the elements' ids."""

    def __init__(self, words: Localization, examples: tuple[Example, ...], prefix: str = "") -> None:
        self.pictures = by_picture(examples)
        if not examples:
            return
        self.gallery = words.static(
            lambda language: examples_view(self.pictures, language),
            js_on_load=triggers("select"),
            elem_id=f"{prefix}examples",
        )
        self.questions = gr.HTML("", js_on_load=triggers("select"), elem_id=f"{prefix}suggestions")

    def fill(self, picture: Any, question: gr.Textbox, language: gr.Radio, more: dict[Any, Any] | None = None) -> None:
        """Wire the events: a chosen example fills `picture` and `question`. more: component -> value, filled too."""
        self._picture, self._question, self._more = picture, question, more or {}
        if not self.pictures:
            return

        def chosen(language: str, event: gr.EventData) -> dict[Any, Any]:
            return self.filled(int(event.index), language)

        self.gallery.select(chosen, language, self.outputs(), **QUIET)
        self.questions.select(question_of, None, question, **QUIET)

    def outputs(self) -> list[Any]:
        """The components of `filled`."""
        return [self._picture, self._question, self.questions, *self._more] if self.pictures else []

    def filled(self, index: int, language: str) -> dict[Any, Any]:
        """Component -> value for the example picture number `index` and a question about it in `language`."""
        file, about = list(self.pictures.items())[index]
        return {
            self._picture: file,
            self._question: first_for(about, language).question,
            self.questions: questions_view([example.question for example in about], language),
            **self._more,
        }


def question_of(event: gr.EventData) -> str:
    """The question of the button that was clicked."""
    return str(event.question)
