"""The controls of a request's settings, made from the settings' metadata, and the conversion of their values.

Gradio reports an empty number box as 0, so 0 stands for None, the model's own number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import sentences
from xcomposer_ui.core.request import Setting
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.ui.localization import QUIET, Localization


class NumberInput(gr.Number):
    """`gr.Number` whose limits are those of its arrows alone: a number outside is refused where a request is made.

    Gradio's own refusal is an exception, with a traceback in the log.
    """

    is_template = True

    def preprocess(self, payload: float | None) -> float | int | None:
        return None if payload is None else self.round_to_precision(payload, self.precision)


def setting_control(words: Localization, setting: Setting, value: float | None, model: str, prefix: str = "") -> Any:
    """A slider where the setting has steps, else a number box.

    model: the one that is initially selected; settings of tiles are visible if it may have tiles. prefix: of the
    element's id.
    """
    texts: dict[str, Any] = {"label": setting.label}
    if (info := f"{setting.name}.info") in sentences("en") or (info := f"{setting.label}.info") in sentences("en"):
        texts["info"] = info
    elem_id = f"{prefix}{setting.name.replace('_', '-')}"
    if setting.step is not None:
        return words.make(
            gr.Slider, texts, minimum=setting.lowest, maximum=setting.highest, step=setting.step,
            value=0 if value is None else value, elem_id=elem_id,
        )  # fmt: skip
    optional = setting.default is None
    return words.make(
        NumberInput, texts,
        value=0 if value is None else value, precision=0 if setting.kind is int else None,
        minimum=0 if optional else setting.lowest, maximum=setting.highest if setting.highest < 2**53 else None,
        visible=not setting.only_tiled or may_have_tiles(model), elem_id=elem_id,
    )  # fmt: skip


def follow_model(settings: Sequence[Setting], controls: Mapping[str, Any], model: gr.Dropdown) -> None:
    """Show the controls of tiles where the chosen model may have tiles; else hide them and set them to 0."""

    def updates(name: str | None) -> Any:
        if name and may_have_tiles(name):
            return gr.update(visible=True)
        return gr.update(visible=False, value=0)  # a hidden value must not become part of the request

    for setting in settings:
        if setting.only_tiled:
            model.change(updates, model, controls[setting.name], **QUIET)


def may_have_tiles(model: str) -> bool:
    """Whether `model` may cut pictures into tiles; True also where its configuration is not on this machine yet."""
    return tiled(model) is not False


def filled_in(settings: Sequence[Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among `values` that are filled in; for the others the record has defaults."""
    found = {s.name: values.get(s.name) for s in settings}
    return {s.name: found[s.name] for s in settings if found[s.name] or (s.default is not None and found[s.name] == 0)}
