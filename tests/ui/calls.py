"""Calls of the page's endpoints, as scripts send them."""

from __future__ import annotations

from typing import Any

from xcomposer_ui.core.request import Request
from xcomposer_ui.ui.endpoints import setting_parameters


def values(**changed: Any) -> list[Any]:
    """The values of a call of /run."""
    named = {
        "image": None, "question": "What?", "strategy": "unified", "half": "auto", "model": "embedded",
        "device": "auto", **{p.name: p.default for p in setting_parameters(Request)}, "anyway": False,
    }  # fmt: skip
    return list((named | {"max_new_tokens": 4} | changed).values())
