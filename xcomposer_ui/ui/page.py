"""What every tab of a page is made with."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.preflight import Preflight


@dataclass(frozen=True)
class Page:
    """The page that is being built. words: its texts. language: the switch between them. checks: before a run."""

    words: Localization
    settings: Settings
    runner: Runner
    checks: Preflight
    language: gr.Radio
    examples: tuple[Example, ...] = ()
