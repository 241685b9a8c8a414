"""The number of threads: by measurement for a small model, all for a large one, and never against the user's choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from xcomposer_ui.backends import devices
from xcomposer_ui.backends.devices import choose_threads


class TimedModel:
    """A model on a clock of its own. step_sec: number of threads -> seconds of a call."""

    def __init__(self, step_sec: dict[int, float]) -> None:
        self.step_sec = step_sec
        self.now = 0.0
        self.calls = 0

    def __call__(self, input_ids: Tensor, **kwargs: Any) -> None:
        self.calls += 1
        self.now += self.step_sec[torch.get_num_threads()]

    def clock(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "MOST_THREADS", 4)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("one", "four", "chosen"), [(1.0, 0.9, 1), (1.0, 3.0, 1), (1.0, 0.7, 1), (1.0, 0.4, 4)])
def test_a_small_model_gets_all_threads_only_if_they_are_much_faster(one: float, four: float, chosen: int) -> None:
    model = TimedModel({1: one, 4: four})
    reason = choose_threads(model, small=True, clock=model.clock)
    assert torch.get_num_threads() == chosen
    assert reason.facts["threads"] == chosen
    assert f"{one / four:.2f}" in str(reason)


def test_a_large_model_gets_all_threads_unmeasured() -> None:
    model = TimedModel({})
    torch.set_num_threads(1)
    assert "4" in str(choose_threads(model, small=False, clock=model.clock))
    assert torch.get_num_threads() == 4
    assert model.calls == 0


def test_the_environments_number_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(devices, "MOST_THREADS", 2)
    torch.set_num_threads(2)
    model = TimedModel({})
    choose_threads(model, small=True, clock=model.clock)
    assert torch.get_num_threads() == 2
    assert model.calls == 0
