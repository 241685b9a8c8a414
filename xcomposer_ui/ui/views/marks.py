"""Escaped text and dtype chips for views that are not rendered from templates."""

from __future__ import annotations

import html

from xcomposer_ui.ui.html import dtype_chip, visible

__all__ = ["dtype_chip", "escaped"]


def escaped(value: object) -> str:
    """`value` as HTML text or a quoted attribute; control characters and text-direction overrides are dropped."""
    return html.escape(visible(value), quote=True)
