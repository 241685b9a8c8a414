"""Requests and results for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement, RunResult


def under(request: Request, strategy: str, half: str | None = "float16", **changes: Any) -> Request:
    """`request` under another strategy and half dtype."""
    return replace(request, strategy=strategy, half=half, **changes)


def result_of(
    strategy: str,
    measurement: Measurement,
    *,
    text: str = "What?",
    model: str = "embedded",
    half: str = "float16",
    seed: int = 0,
    **fields: Any,
) -> RunResult:
    """A result on the CPU."""
    request = Request(text, strategy=strategy, half=half, model=model, seed=seed)
    return RunResult(request, "cpu", measurement, **fields)
