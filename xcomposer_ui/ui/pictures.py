"""Picture inputs with the file's path on the server as their value: only `core.images.open_picture` opens it.

Gradio's own inputs open the file first, and end the event with an unexplained error where they cannot read it. Which
paths and data: URLs may come in is checked before, in `uploads`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.page_scripts import script
from xcomposer_ui.ui.uploads import written


class PictureInput(gr.Image):
    """`gr.Image(type="filepath")` whose value is the uploaded file's path on the server, unopened."""

    is_template = True  # the same component in the browser

    def preprocess(self, payload: ImageData | None) -> str | None:
        return None if payload is None else payload.path


class DrawingInput(gr.HTML):
    """A canvas of 336 by 336 pixels, whose value is the path of a PNG on the server, unopened; None while it is empty.

    The tools are elements beside it, see `drawing_tools` and `assets/scripts/drawing.js`.
    """

    is_template = True

    def __init__(self, **properties: Any) -> None:
        canvas = '<canvas width="336" height="336" tabindex="0"></canvas>'
        super().__init__("", html_template=canvas, js_on_load=script("drawing"), **properties)

    def preprocess(self, payload: str | None) -> str | None:
        if not payload:
            return None
        file = written(payload)
        self.temp_files.add(file)  # Gradio deletes these when they are old
        return file


PALETTE = {
    "#d62828": "red", "#2a9d3a": "green", "#1d5fd1": "blue", "#f2c714": "yellow", "#7b3fb5": "purple",
    "#f08a1c": "orange", "#111111": "black", "#ffffff": "white",
}  # fmt: skip
"""The colours that the embedded model knows, so that drawings show what it can name."""

WIDTHS = {"thin": 6, "medium": 14, "thick": 40}
"""Of a line, in pixels of the canvas."""


def drawing_tools(language: str) -> str:
    """The colours, the widths and the buttons of a drawing."""
    return render("drawing_tools", language, colours=PALETTE.items(), widths=WIDTHS.items())
