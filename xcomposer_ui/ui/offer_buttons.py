"""Rows of buttons for what to run instead of what failed or does not fit: hidden while there is nothing to offer."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr


def offers(row: str, prefix: str, names: Iterable[str]) -> dict[str, gr.Button]:
    """A row with the id `row` of one hidden button a name, with the id `prefix`-name; the buttons by name."""
    with gr.Row(elem_classes="xl-cures", elem_id=row):
        return {
            name: gr.Button(name, visible=False, size="sm", elem_id=f"{prefix}-{name}", elem_classes="xl-cure")
            for name in names
        }
