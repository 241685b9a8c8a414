"""The room that a run may take, as the runner tells it."""

from __future__ import annotations

from types import SimpleNamespace

from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.runtime.runner import Runner


def test_room_is_known_once_a_backend_is_there() -> None:
    runner = Runner(Settings())
    assert runner.memory_budget() is None
    runner._backend = SimpleNamespace(device="cpu", budget_bytes=lambda: 1000)  # type: ignore[assignment]
    assert runner.memory_budget() == MemoryBudget("cpu", 1000)
    runner._backend = SimpleNamespace(device="cpu", budget_bytes=lambda: None)  # type: ignore[assignment]
    assert runner.memory_budget() is None
