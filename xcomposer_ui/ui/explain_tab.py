"""The Explain tab: a pasted error and its explanation."""

from __future__ import annotations

import gradio as gr

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Message
from xcomposer_ui.explain import explain
from xcomposer_ui.ui.html import macro
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.views.explanation import explanation_card
from xcomposer_ui.ui.views.notices import notice


class ExplainTab:
    """Box and button on the left, the explanation on the right. pasted: the box. shown: its explanation."""

    def __init__(self, page: Page) -> None:
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=5, min_width=300, elem_classes="xl-left"):
                self.pasted = page.words.make(
                    gr.Textbox,
                    {"label": "explain.input", "placeholder": "explain.placeholder"},
                    lines=12, max_lines=24, elem_id="pasted", elem_classes="xl-code",
                )  # fmt: skip
                run = page.words.make(gr.Button, {"value": "explain.run"}, variant="primary", elem_id="explain")
            with gr.Column(scale=8, min_width=300, elem_classes="xl-right"):
                self.shown = page.words.view(lambda language: explanation_view("", language), elem_id="explained")
        gr.on(
            [run.click, self.pasted.submit], explain_pasted, [self.pasted, page.language], self.shown,
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip


def explain_pasted(pasted: str | None, language: str) -> str:
    """The explanation of `pasted`, or a notice where the box is empty (None before its first change)."""
    if not (pasted or "").strip():
        return notice(UserError("nothing_pasted"), language)
    return explanation_view(pasted, language)


def explanation_view(pasted: str | None, language: str) -> str:
    """The card for `pasted`; an introduction where it is empty."""
    if pasted is None or not pasted.strip():
        return macro("quiet", language, Message("explain.empty"))
    return explanation_card(explain(pasted), language)
