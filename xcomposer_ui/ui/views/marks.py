"""The small marks that every view shares: a dtype's chip, a clash, escaped text."""

from __future__ import annotations

import html
import re

from xcomposer_ui.core.messages import text

COLOURED = ("float32", "float16", "bfloat16")
"""The dtypes that have a colour of their own (in `assets/style.css`); any other one is grey."""

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def escaped(value: object) -> str:
    """`value` as HTML text or a quoted attribute; control characters and text-direction overrides are dropped."""
    return html.escape(_HIDDEN.sub("", str(value)), quote=True)


def dtype_chip(dtype: str) -> str:
    """`dtype` with its colour and its own filling, told apart by name and shape where colours are not seen."""
    name = dtype if dtype in COLOURED else "other"
    return f'<span class="xl-dtype xl-{name}"><i aria-hidden="true"></i>{escaped(dtype)}</span>'


def clash_mark(language: str) -> str:
    """The mark between two dtypes that meet and do not match: red, hatched, and in words."""
    return f'<span class="xl-clash">{escaped(text("clash", language))}</span>'


def clashing(dtypes: tuple[str, ...], language: str) -> str:
    """`dtypes` as chips, a clash mark between each two."""
    return f" {clash_mark(language)} ".join(dtype_chip(dtype) for dtype in dtypes)
