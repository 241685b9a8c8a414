"""The names of the processor and of the NVIDIA card on each system, simulated."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xcomposer_ui.core import hardware_names
from xcomposer_ui.core.hardware_names import NvidiaCard, nvidia_card, processor_name


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    for name in (processor_name, nvidia_card):
        name.cache_clear()
    yield
    for name in (processor_name, nvidia_card):
        name.cache_clear()


def test_linux_has_it_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Some CPU @ 2.50GHz\n")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(hardware_names, "CPUINFO", file)
    assert processor_name() == "Some CPU @ 2.50GHz"


def test_macos_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="Apple M2\n"))
    assert processor_name() == "Apple M2"


@pytest.mark.parametrize(
    ("told", "name"), [("Intel64 Family 6, GenuineIntel", "Intel64 Family 6, GenuineIntel"), ("", None)]
)
def test_elsewhere_python_tells_or_nothing_is_known(
    told: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "processor", lambda: told)
    assert processor_name() == name


def test_a_system_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(hardware_names, "SYSCTL", ("/no/such/program",))
    assert processor_name() == "arm"


@pytest.mark.parametrize(
    ("shown", "card"),
    [
        ("NVIDIA A100, 550.54.15\nNVIDIA T4, 550.54.15\n", NvidiaCard("NVIDIA A100", "550.54.15")),
        ("\n", NvidiaCard()),
    ],
)
def test_the_first_card_is_named(shown: str, card: NvidiaCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=shown))
    assert nvidia_card() == card


@pytest.mark.parametrize("error", [subprocess.CalledProcessError(9, "nvidia-smi"), FileNotFoundError("nvidia-smi")])
def test_without_the_program_or_where_it_fails_nothing_is_known(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert nvidia_card() == NvidiaCard()
