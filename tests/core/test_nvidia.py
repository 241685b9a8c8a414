"""The NVIDIA card as nvidia-smi names it, on machines that have none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from xcomposer_ui.core.nvidia import NvidiaCard, nvidia_card


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    nvidia_card.cache_clear()
    yield
    nvidia_card.cache_clear()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    ("shown", "card"),
    [
        ("NVIDIA A100, 550.54.15\nNVIDIA T4, 550.54.15\n", NvidiaCard("NVIDIA A100", "550.54.15")),
        ("\n", NvidiaCard()),
    ],
)
def test_the_first_card_is_named(shown: str, card: NvidiaCard, program: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=shown))
    assert nvidia_card() == card


def test_without_the_program_or_where_it_fails_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(subprocess, "run", fail)
    for where in (None, "/usr/bin/nvidia-smi"):
        monkeypatch.setattr(shutil, "which", lambda name, where=where: where)
        nvidia_card.cache_clear()
        assert nvidia_card() == NvidiaCard()
