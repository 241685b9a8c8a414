"""The controls of the page's forms: pictures, drawings, and the settings of a request, made from their metadata.

A picture's value is its path on the server, which only `core.images.open_picture` opens: Gradio's own input opens the
file first, and ends the event with an unexplained error where it cannot read it. Which paths and data: URLs may come in
is checked before, in `uploads`.

Gradio reports an empty number box as 0, so 0 stands for None, the model's own number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from xcomposer_ui.core.messages import sentences
from xcomposer_ui.core.request import Setting
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.ui.html import render, short_name
from xcomposer_ui.ui.localization import QUIET
from xcomposer_ui.ui.page import Page
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


class NumberInput(gr.Number):
    """`gr.Number` whose limits are those of its arrows alone: a wrong number is refused where a request is made.

    Gradio's own refusal is an exception with a traceback in the log, and it rounds fractions.
    """

    is_template = True

    def preprocess(self, payload: float | None) -> float | int | None:
        return int(payload) if self.precision == 0 and payload is not None and payload == int(payload) else payload


def request_controls(
    page: Page, settings: Iterable[Setting], prefix: str = "", first: Mapping[str, float] | None = None
) -> tuple[dict[str, Any], gr.Dropdown]:
    """The controls of `settings` by name, and the choice of the model, which those of tiles stand below and follow."""
    settings = tuple(settings)
    plain = setting_controls(page, (s for s in settings if not s.only_tiled), prefix, first)
    model = page.words.make(
        gr.Dropdown, {"label": "model"}, choices=model_choices(page.settings.models),
        value=page.settings.model, elem_id=f"{prefix}model",
    )  # fmt: skip
    tiles = setting_controls(page, (s for s in settings if s.only_tiled), prefix, first)
    for control in tiles.values():
        model.change(_tiles_of, model, control, **QUIET)
    return plain | tiles, model


def model_choices(models: Iterable[str]) -> list[tuple[str, str]]:
    """(label, value) of each of `models`; no texts of the page, whose keys a folder may be called like."""
    return [(short_name(name), name) for name in models]


def setting_controls(
    page: Page, settings: Iterable[Setting], prefix: str = "", first: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The controls of `settings` by name: a slider where the setting has steps, else a number box.

    Those of tiles are visible if the model that is initially selected may have tiles. prefix: of the elements' ids.
    first: initial values that are not the settings' defaults.
    """
    return {s.name: _control(page, s, (first or {}).get(s.name, s.default), prefix) for s in settings}


def _control(page: Page, setting: Setting, first: float | None, prefix: str) -> Any:
    value = 0 if first is None else first
    texts: dict[str, Any] = {"label": setting.label}
    if (info := f"{setting.name}.info") in sentences("en") or (info := f"{setting.label}.info") in sentences("en"):
        texts["info"] = info
    elem_id = f"{prefix}{setting.name.replace('_', '-')}"
    if setting.step is not None:
        return page.words.make(
            gr.Slider, texts,
            minimum=setting.lowest, maximum=setting.highest, step=setting.step, value=value, elem_id=elem_id,
        )  # fmt: skip
    optional = setting.default is None
    return page.words.make(
        NumberInput, texts,
        value=value, precision=0 if setting.kind is int else None,
        minimum=0 if optional else setting.lowest, maximum=setting.highest if setting.highest < 2**53 else None,
        visible=not setting.only_tiled or may_have_tiles(page.settings.model), elem_id=elem_id,
    )  # fmt: skip


def _tiles_of(model: str | None) -> Any:
    """The control of a setting of tiles, where `model` is chosen: a hidden value must not be part of the request."""
    return gr.update(visible=True) if model and may_have_tiles(model) else gr.update(visible=False, value=0)


def may_have_tiles(model: str) -> bool:
    """Whether `model` may cut pictures into tiles; True also where its configuration is not on this machine yet."""
    return tiled(model) is not False


def clear_notice(notice: gr.HTML, controls: Iterable[Any]) -> None:
    """Take a refusal away as soon as a visitor changes one of `controls`: it was about what they were before.

    In the browser alone. An example changes a question too, and a canvas has no other event.
    """
    changed = (gr.Textbox, DrawingInput)
    changes = [control.change if isinstance(control, changed) else control.input for control in controls]
    gr.on(changes, None, None, notice, js="() => ['']", api_visibility="private")


def filled_in(settings: Sequence[Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among `values` that are filled in; for the others the record has defaults."""
    found = {s.name: values.get(s.name) for s in settings}
    return {s.name: found[s.name] for s in settings if found[s.name] or (s.default is not None and found[s.name] == 0)}
