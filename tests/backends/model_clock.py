"""A clock that only the model moves, so that what a run is said to have taken can be compared to the last digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from xcomposer_ui.backends import run_control

TOWER_SEC, STEP_SEC = 2.0, 0.5
"""What the picture's tower takes, and what each step of the language model takes: exact as binary fractions."""


class ModelClock:
    """now: in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def advance(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def model_clock(model: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelClock]:
    """Within, `answering` measures by a clock that stands still unless `model` computes."""
    clock = ModelClock()
    monkeypatch.setattr(run_control, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    hooks = [
        model.vit.register_forward_hook(lambda *_: clock.advance(TOWER_SEC)),
        model.get_output_embeddings().register_forward_hook(lambda *_: clock.advance(STEP_SEC)),
    ]
    try:
        yield clock
    finally:
        for hook in hooks:
            hook.remove()
