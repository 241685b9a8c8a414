"""The gallery of example pictures, and the questions about the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from xcomposer_ui.core.images import open_picture, thumbnail
from xcomposer_ui.core.messages import sentences
from xcomposer_ui.ui.examples import Example, by_picture, first_for
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.localization import QUIET
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.page_scripts import triggers

THUMBNAIL_PIXELS = 144
"""Longer side of a thumbnail, shown at half that size."""


class ExampleGallery:
    """Builds the gallery; nothing is built where there are no examples. prefix: of the elements' ids."""

    def __init__(self, page: Page, prefix: str = "") -> None:
        self.language, self.pictures = page.language, by_picture(page.examples)
        if not page.examples:
            return
        self.gallery = page.words.static(
            lambda language: examples_view(self.pictures, language),
            js_on_load=triggers("select"),
            elem_id=f"{prefix}examples",
        )
        self.questions = gr.HTML("", js_on_load=triggers("select"), elem_id=f"{prefix}suggestions")

    def fill(self, picture: Any, question: gr.Textbox, more: dict[Any, Any] | None = None) -> None:
        """Wire the events: a chosen example fills `picture` and `question`. more: component -> value, filled too."""
        self._picture, self._question, self._more = picture, question, more or {}
        if not self.pictures:
            return

        def chosen(language: str, event: gr.EventData) -> dict[Any, Any]:
            return self.filled(int(event.index), language)

        self.gallery.select(chosen, self.language, self.outputs(), **QUIET)
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


def examples_view(pictures: Mapping[str, Sequence[Example]], language: str) -> Markup:
    """A button for each picture, named by what it shows or by a question about it; its image is of `examples_style`."""
    described = sentences(language)
    names = [
        described.get(f"example.{Path(picture).stem}") or first_for(tuple(about), language).question
        for picture, about in pictures.items()
    ]
    return render("examples", language, names=names)


def examples_style(pictures: Sequence[str]) -> str:
    """A style sheet with the thumbnails of `pictures`, which the page has once for all galleries."""
    rules = ""
    for index, picture in enumerate(pictures):
        image = thumbnail(open_picture(picture), THUMBNAIL_PIXELS)
        # More specific than Gradio's background of any button under the pointer.
        rules += f".gradio-container .xl-examples button.xl-example.xl-example-{index}{{background-image:url({image})}}"
    return f"<style>{rules}</style>"


def questions_view(questions: Sequence[str], language: str) -> Markup:
    """A button for each of `questions`; empty where there are fewer than two."""
    return render("questions", language, questions=questions) if len(questions) > 1 else Markup()
