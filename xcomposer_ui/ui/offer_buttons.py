"""Rows of buttons that offer another run in place of one that failed or does not fit; hidden otherwise."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr


def offers(row: str, prefix: str, names: Iterable[str]) -> dict[str, gr.Button]:
    """A row with the element id `row`, one hidden button `prefix`-name for each name; the buttons by name."""
    with gr.Row(elem_classes="xl-offers", elem_id=row):
        return {
            name: gr.Button(name, visible=False, size="sm", elem_id=f"{prefix}-{name}", elem_classes="xl-offer")
            for name in names
        }
