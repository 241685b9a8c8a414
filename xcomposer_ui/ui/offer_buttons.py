"""Rows of buttons that offer a way out: hidden until there is one."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr


def offers(row: str, prefix: str, names: Iterable[str]) -> dict[str, gr.Button]:
    """Name -> its button, with the id `prefix`-name, in a row with the id `row`."""
    with gr.Row(elem_classes="xl-cures", elem_id=row):
        return {
            name: gr.Button(name, visible=False, size="sm", elem_id=f"{prefix}-{name}", elem_classes="xl-cure")
            for name in names
        }
