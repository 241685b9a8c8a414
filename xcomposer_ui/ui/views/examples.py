"""The example pictures as buttons, and the questions about one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from xcomposer_ui.core.images import open_picture, thumbnail
from xcomposer_ui.core.messages import sentences
from xcomposer_ui.ui.examples import Example, first_for
from xcomposer_ui.ui.html import render

THUMBNAIL_PIXELS = 144
"""Longer side of a thumbnail, shown at half that size."""


def examples_view(pictures: Mapping[str, Sequence[Example]], language: str) -> Markup:
    """A button for each picture, named by what it shows; its image is a background of `examples_style`."""
    names = [_description(picture, tuple(about), language) for picture, about in pictures.items()]
    return render("examples", language, names=names)


def examples_style(pictures: Sequence[str]) -> str:
    """A style sheet with the thumbnails of `pictures`, which the page has once for all galleries."""
    rules = ""
    for index, picture in enumerate(pictures):
        image = thumbnail(open_picture(picture), THUMBNAIL_PIXELS)
        rules += f".gradio-container .xl-examples .xl-example-{index}{{background-image:url({image})}}"
    return f"<style>{rules}</style>"


def questions_view(questions: Sequence[str], language: str) -> Markup:
    """A button for each of `questions`; empty where there are fewer than two."""
    return render("questions", language, questions=questions) if len(questions) > 1 else Markup()


def _description(picture: str, about: tuple[Example, ...], language: str) -> str:
    """What the picture shows; the first question about it where that is not described."""
    key = f"example.{Path(picture).stem}"
    return sentences(language).get(key) or first_for(about, language).question
