"""Which device is chosen, and the reason; missing hardware is simulated."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch

from xcomposer_ui.backends import devices
from xcomposer_ui.backends.devices import (
    CONTEXT_BYTES,
    budget_bytes,
    choose_device,
    free_bytes,
    free_unused,
    synchronize,
)
from xcomposer_ui.core.errors import UserError


@pytest.fixture
def apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 << 30)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10 << 30)


def available(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=amount))


def choice(requested: str) -> tuple[str, str]:
    """The chosen device, and the reason in English."""
    device, reason = choose_device(requested)
    return device, str(reason)


def test_without_cuda_auto_is_the_cpu_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choice("auto") == ("cpu", "no CUDA device was found")
    with pytest.raises(UserError, match="No CUDA device was found here"):
        choose_device("cuda")


def test_with_cuda_auto_takes_it_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Something")
    assert choice("auto") == ("cuda", "NVIDIA Something is there")
    assert choice("cuda") == ("cuda", "you asked for it")
    assert choice("cpu") == ("cpu", "you asked for it")


def test_room_on_the_cpu_is_what_is_free_and_the_weights_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda device: 1000)
    assert budget_bytes("cpu", 30) == 1030
    monkeypatch.setattr(devices, "free_bytes", lambda device: None)
    assert budget_bytes("cpu", 30) is None


def test_room_on_a_card_is_counted_as_its_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 200)
    assert budget_bytes("cuda", 30) == 1200 + CONTEXT_BYTES  # the weights are among what is reserved


def test_apples_gpu_is_taken_when_it_is_asked_for(apples_gpu: None) -> None:
    assert choice("mps") == ("mps", "you asked for it")
    device, why = choose_device("auto")
    assert device == "cpu" and "when mps is asked for" in str(why)
    assert why.in_language("zh") != str(why)


def test_without_apples_gpu_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    with pytest.raises(UserError, match="built without MPS"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    with pytest.raises(UserError, match="macOS 14 or later"):
        choose_device("mps")


def test_apples_gpu_shares_the_systems_memory(apples_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, 20 << 30)
    assert free_bytes("mps") == 7 << 30  # of what Metal recommends, less what is taken
    assert budget_bytes("mps", 1 << 30) == 10 << 30  # the weights are among what is taken
    available(monkeypatch, 2 << 30)
    assert free_bytes("mps") == 2 << 30


def test_free_memory_is_what_the_system_says_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_bytes("cpu")
    assert free is not None and free > 2**20
    available(monkeypatch, 1234)
    assert free_bytes("cpu") == 1234

    def refuse() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert free_bytes("cpu") is free_bytes("mps") is None


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_gpu_is_waited_for_and_gives_back_what_it_keeps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(getattr(torch, kind), "synchronize", lambda: done.append("waited"))
    monkeypatch.setattr(getattr(torch, kind), "empty_cache", lambda: done.append("gave back"))
    for device in ("cpu", kind):
        synchronize(device)
        free_unused(device)
    assert done == ["waited", "gave back"]
