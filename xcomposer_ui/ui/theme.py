"""The Gradio theme: fonts that need no download, quiet surfaces, one accent colour."""

from __future__ import annotations

import inspect

import gradio as gr

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Noto Sans CJK SC",
        "Microsoft YaHei", "sans-serif")  # fmt: skip
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

COLOURS = {
    "var(--xl-page)": """
        body_background_fill background_fill_secondary button_secondary_background_fill_hover
        checkbox_label_background_fill_hover
    """,
    "var(--xl-ink)": """
        body_text_color block_title_text_color button_secondary_text_color checkbox_label_text_color_selected
    """,
    "var(--xl-muted)": "body_text_color_subdued block_label_text_color block_info_text_color input_placeholder_color",
    "var(--xl-panel)": """
        background_fill_primary block_background_fill button_secondary_background_fill
        button_cancel_background_fill
    """,
    "var(--xl-line)": "block_border_color border_color_primary input_border_color checkbox_label_border_color",
    "none": "block_shadow input_shadow_focus",
    "transparent": "block_label_background_fill checkbox_label_background_fill",
    "0px": "block_label_border_width",
    "var(--xl-accent)": """
        border_color_accent color_accent input_border_color_focus button_primary_background_fill slider_color
        checkbox_background_color_selected checkbox_border_color_selected link_text_color loader_color
    """,
    "var(--xl-accent-soft)": "color_accent_soft checkbox_label_background_fill_selected",
    "var(--xl-field)": "input_background_fill checkbox_background_color",
    "var(--xl-accent-strong)": "button_primary_background_fill_hover link_text_color_hover",
    "var(--xl-on-accent)": "button_primary_text_color",
    "var(--xl-line-strong)": "button_secondary_border_color checkbox_border_color",
    "var(--xl-clash-soft)": "button_cancel_background_fill_hover",
    "var(--xl-clash)": "button_cancel_border_color button_cancel_text_color",
}
"""The lab's values, which `assets/style.css` defines for light and dark -> the variables of Gradio that have them."""


def theme() -> gr.themes.Base:
    """Gradio's plain theme with the lab's colours, which are variables of `assets/style.css`."""
    colours = {name: value for value, names in COLOURS.items() for name in names.split()}
    return gr.themes.Base(
        font=list(SANS),
        font_mono=list(MONO),
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    ).set(**{f"{name}{mode}": value for name, value in colours.items() for mode in _modes(name)})


def _modes(name: str) -> tuple[str, ...]:
    """The suffixes of a variable: most exist twice, plain for light and with `_dark`."""
    return ("", "_dark") if f"{name}_dark" in inspect.signature(gr.themes.Base.set).parameters else ("",)
