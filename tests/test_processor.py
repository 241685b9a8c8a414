"""The processor's name on each system, simulated."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from xcomposer_ui.core import processor


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    processor.processor_name.cache_clear()
    yield
    processor.processor_name.cache_clear()


def test_linux_has_it_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Some CPU @ 2.50GHz\n")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(processor, "CPUINFO", file)
    assert processor.processor_name() == "Some CPU @ 2.50GHz"


def test_macos_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="Apple M2\n"))
    assert processor.processor_name() == "Apple M2"


@pytest.mark.parametrize(
    ("told", "name"), [("Intel64 Family 6, GenuineIntel", "Intel64 Family 6, GenuineIntel"), ("", None)]
)
def test_elsewhere_python_tells_or_nothing_is_known(
    told: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "processor", lambda: told)
    assert processor.processor_name() == name


def test_a_system_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(processor, "SYSCTL", ("/no/such/program",))
    assert processor.processor_name() == "arm"
