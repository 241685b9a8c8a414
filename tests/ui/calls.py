"""Calls of the page's endpoints, as scripts send them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.request import Request
from xcomposer_ui.ui.endpoints import setting_parameters

Found = TypeVar("Found")


def awaited(steps: Coroutine[Any, Any, Found]) -> Found:
    """What `steps` return; in a thread, because Playwright's event loop may run in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, steps).result()


def values(**changed: Any) -> list[Any]:
    """The values of a call of /run."""
    named = {
        "image": None, "question": "What?", "strategy": "unified", "half": "auto", "model": "embedded",
        "device": "auto", **{p.name: p.default for p in setting_parameters(Request)}, "anyway": False,
    }  # fmt: skip
    return list((named | {"max_new_tokens": 4} | changed).values())


def compare_values() -> list[Any]:
    """The values of a call of /compare."""
    named = {"image": None, "question": "What?", "half": "auto", "both_halves": False, "model": "embedded"}
    numbers = [p.default for p in setting_parameters(Request, ComparisonSettings)]
    return [*named.values(), "auto", *numbers, False]
