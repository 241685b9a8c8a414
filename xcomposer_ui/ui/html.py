"""HTML from the templates in `templates/`: every value is escaped there, and texts come from the locales."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xcomposer_ui.core.messages import text

TEMPLATES = Path(__file__).resolve().parent / "templates"

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def visible(value: object) -> object:
    """`value` without control characters and text-direction overrides, which could make it look like other text."""
    return value if isinstance(value, Markup) else _HIDDEN.sub("", str(value))


@cache
def environment() -> Environment:
    """The templates' environment: autoescaped, and an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    return made


def render(template: str, language: str, **context: Any) -> Markup:
    """The template `template`.html with `context`. In it `text(code, **facts)` is the text in `language`."""
    words = partial(_text, language)
    return Markup(environment().get_template(f"{template}.html").render(language=language, text=words, **context))


def _text(language: str, code: str, **facts: Any) -> str:
    return text(code, language, **facts)
