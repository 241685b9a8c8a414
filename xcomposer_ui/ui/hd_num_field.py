"""The field for the most tiles of a picture: there where the model chosen may have tiles, 0 for its own number.

Gradio shows a number that is none as 0: so 0 is what it says where nothing was chosen, and empty means the same.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from xcomposer_ui.core.request import MOST_TILES
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.catalogue import tiled
from xcomposer_ui.ui.localization import QUIET, Localization


def hd_num_field(words: Localization, settings: Settings, elem_id: str) -> gr.Number:
    """The field, as the settings' model wants it."""
    return words.make(
        gr.Number, {"label": "plan.hd_num", "info": "hd_num.info"},
        value=0, precision=0, minimum=0, maximum=MOST_TILES, visible=_has_tiles(settings.model), elem_id=elem_id,
    )  # fmt: skip


def follow_model(field: gr.Number, model: gr.Dropdown) -> None:
    """Show `field` where the model chosen has tiles; else hide it at 0: what nobody sees is not asked for."""
    model.change(_shown, model, field, **QUIET)


def _shown(model: str | None) -> Any:
    return gr.update(visible=True) if model and _has_tiles(model) else gr.update(visible=False, value=0)


def _has_tiles(model: str) -> bool:
    """Whether it may have: of a model that is not here yet nobody knows, and its first run will tell."""
    return tiled(model) is not False
