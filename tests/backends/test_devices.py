"""Which device is chosen, and the reason; missing hardware is simulated."""

from __future__ import annotations

import pytest
import torch

from xcomposer_ui.backends import devices
from xcomposer_ui.backends.devices import CONTEXT_BYTES, choose_device, free_bytes, room_bytes
from xcomposer_ui.errors import UserError


def test_without_cuda_auto_is_the_cpu_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == ("cpu", "no CUDA device was found")
    with pytest.raises(UserError, match="No CUDA device was found here"):
        choose_device("cuda")


def test_with_cuda_auto_takes_it_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Something")
    assert choose_device("auto") == ("cuda", "NVIDIA Something is there")
    assert choose_device("cuda") == ("cuda", "you asked for it")
    assert choose_device("cpu") == ("cpu", "you asked for it")


def test_room_on_the_cpu_is_what_is_free_and_the_weights_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda device: 1000)
    assert room_bytes("cpu", 30) == 1030
    monkeypatch.setattr(devices, "free_bytes", lambda device: None)
    assert room_bytes("cpu", 30) is None


def test_room_on_a_card_is_counted_as_its_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 200)
    assert room_bytes("cuda", 30) == 1200 + CONTEXT_BYTES  # the weights are among what is reserved


def test_free_memory_of_the_cpu_is_bytes() -> None:
    free = free_bytes("cpu")
    assert free is None or free > 2**20
