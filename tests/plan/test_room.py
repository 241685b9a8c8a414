"""The room that a run may take, as the runner tells it."""

from __future__ import annotations

from types import SimpleNamespace

from xcomposer_ui.planning.fitting import Room
from xcomposer_ui.runner import Runner
from xcomposer_ui.settings import Settings


def test_room_is_known_once_a_backend_is_there() -> None:
    runner = Runner(Settings())
    assert runner.room() is None
    runner._backend = SimpleNamespace(device="cpu", room_bytes=lambda: 1000)  # type: ignore[assignment]
    assert runner.room() == Room("cpu", 1000)
    runner._backend = SimpleNamespace(device="cpu", room_bytes=lambda: None)  # type: ignore[assignment]
    assert runner.room() is None
