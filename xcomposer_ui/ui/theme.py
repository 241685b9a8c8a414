"""The Gradio theme: fonts that need no download, quiet surfaces, one accent colour."""

from __future__ import annotations

import inspect

import gradio as gr

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Noto Sans CJK SC",
        "Microsoft YaHei", "sans-serif")  # fmt: skip
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

COLOURS = {
    "body_background_fill": "var(--xl-page)",
    "body_text_color": "var(--xl-ink)",
    "body_text_color_subdued": "var(--xl-muted)",
    "background_fill_primary": "var(--xl-panel)",
    "background_fill_secondary": "var(--xl-page)",
    "block_background_fill": "var(--xl-panel)",
    "block_border_color": "var(--xl-line)",
    "block_shadow": "none",
    "block_label_background_fill": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": "var(--xl-muted)",
    "block_title_text_color": "var(--xl-ink)",
    "block_info_text_color": "var(--xl-muted)",
    "border_color_primary": "var(--xl-line)",
    "border_color_accent": "var(--xl-accent)",
    "color_accent": "var(--xl-accent)",
    "color_accent_soft": "var(--xl-accent-soft)",
    "input_background_fill": "var(--xl-field)",
    "input_border_color": "var(--xl-line)",
    "input_border_color_focus": "var(--xl-accent)",
    "input_shadow_focus": "none",
    "input_placeholder_color": "var(--xl-muted)",
    "button_primary_background_fill": "var(--xl-accent)",
    "button_primary_background_fill_hover": "var(--xl-accent-strong)",
    "button_primary_text_color": "var(--xl-on-accent)",
    "button_secondary_background_fill": "var(--xl-panel)",
    "button_secondary_background_fill_hover": "var(--xl-page)",
    "button_secondary_border_color": "var(--xl-line-strong)",
    "button_secondary_text_color": "var(--xl-ink)",
    "button_cancel_background_fill": "var(--xl-panel)",
    "button_cancel_background_fill_hover": "var(--xl-clash-soft)",
    "button_cancel_border_color": "var(--xl-clash)",
    "button_cancel_text_color": "var(--xl-clash)",
    "slider_color": "var(--xl-accent)",
    "checkbox_background_color": "var(--xl-field)",
    "checkbox_background_color_selected": "var(--xl-accent)",
    "checkbox_border_color": "var(--xl-line-strong)",
    "checkbox_border_color_selected": "var(--xl-accent)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_hover": "var(--xl-page)",
    "checkbox_label_background_fill_selected": "var(--xl-accent-soft)",
    "checkbox_label_border_color": "var(--xl-line)",
    "checkbox_label_text_color_selected": "var(--xl-ink)",
    "link_text_color": "var(--xl-accent)",
    "link_text_color_hover": "var(--xl-accent-strong)",
    "loader_color": "var(--xl-accent)",
}
"""Gradio's variable -> the lab's, which `assets/style.css` defines for light and dark."""


def theme() -> gr.themes.Base:
    """Gradio's plain theme with the lab's colours, which are variables of `assets/style.css`."""
    return gr.themes.Base(
        font=list(SANS),
        font_mono=list(MONO),
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    ).set(**{f"{name}{mode}": value for name, value in COLOURS.items() for mode in _modes(name)})


def _modes(name: str) -> tuple[str, ...]:
    """The suffixes of a variable: most exist twice, plain for light and with `_dark`."""
    return ("", "_dark") if f"{name}_dark" in inspect.signature(gr.themes.Base.set).parameters else ("",)
