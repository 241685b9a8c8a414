"""HTML from the templates in `templates/`: every value is escaped there, and texts come from the locales."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context
from markupsafe import Markup, escape

from xcomposer_ui.core.messages import Message, Text, text
from xcomposer_ui.core.strategies import strategy_title
from xcomposer_ui.core.units import joined, memory

TEMPLATES = Path(__file__).resolve().parent / "templates"

COLOURED = ("float32", "float16", "bfloat16", "tfloat32", "float8_e4m3fn", "float8_e5m2")
"""The dtypes that have a colour of their own (in `assets/style.css`); any other one is grey."""

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_ROW, _CELL = re.compile("<tr.*?</tr>", re.DOTALL), re.compile("<(td|th)(?=[ >])")
_ROLES = {"th": "rowheader", "td": "cell"}
_LAYOUT = re.compile(r"(?<=[>}])\s*\n\s*(?=[<{])")


def visible(value: object) -> str:
    """`value` without control characters and text-direction overrides, which could make it look like other text."""
    return _HIDDEN.sub("", str(value))


def colour_name(dtype: str) -> str:
    """`dtype` where it has a colour of its own, else "other": the ending of its CSS class."""
    return dtype if dtype in COLOURED else "other"


def short_name(model: str) -> str:
    """The last part of a model's name or folder."""
    return model.rstrip("/").rsplit("/", 1)[-1] or model


def render(template: str, language: str = "", **context: Any) -> Markup:
    """The template `template`.html with `context`.

    In it `text(code, **facts)` is the text in `language`, a `Message` or a `Text` is shown in `language`, and a number
    of bytes through the filter `memory` with its unit.
    """
    return Markup(_environment().get_template(f"{template}.html").render(language=language, **context))


def macro(name: str, language: str, *values: Any) -> Markup:
    """The macro `name` of `templates/macros.html` for `values`."""
    module = _environment().get_template("macros.html").make_module({"language": language})
    return Markup(getattr(module, name)(*values))


class _Layout(Extension):
    """Removes line breaks and indentation between a template's tags, which would be spaces on the page.

    Comments with as many line breaks replace them, so that errors have the right line numbers.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return _LAYOUT.sub(lambda found: "{#" + "\n" * found[0].count("\n") + "#}", source)


@cache
def _environment() -> Environment:
    """The templates' environment: autoescaped, and an undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        extensions=[_Layout],
    )
    environment.filters["short_name"] = short_name
    environment.filters["memory"] = lambda size_bytes: joined(memory(size_bytes))
    environment.globals |= {"text": _text, "colour_name": colour_name, "strategy_title": strategy_title}
    environment.filters["labelled_rows"] = _labelled_rows
    return environment


@pass_context
def _text(context: Context, code: str, **facts: Any) -> str:
    return text(code, context["language"], **facts)


@pass_context
def _finalized(context: Context, value: object) -> object:
    if isinstance(value, Markup):
        return value
    return visible(value.in_language(context["language"]) if isinstance(value, Message | Text) else value)


@pass_context
def _labelled_rows(context: Context, rows: Markup, heads: Sequence[object]) -> Markup:
    """The rows of a table with roles, and with its column's head on each cell: a narrow table shows rows as blocks."""
    labels = [escape(_finalized(context, head)) for head in heads]

    def row(found: re.Match[str]) -> str:
        columns = iter(labels)
        cells = _CELL.sub(lambda cell: f'{cell[0]} role="{_ROLES[cell[1]]}" data-label="{next(columns, "")}"', found[0])
        return cells.replace(">", ' role="row">', 1)

    return Markup(_ROW.sub(row, rows))
