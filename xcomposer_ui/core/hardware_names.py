"""The names of the processor and of the NVIDIA card, as the system's own files and programs report them."""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
SYSCTL = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
"""The driver brings the program on every system."""

TIMEOUT_SEC = 5


@dataclass(frozen=True)
class NvidiaCard:
    """name: such as "NVIDIA A100-SXM4-80GB". driver: its version, such as "550.54.15". None where unknown."""

    name: str | None = None
    driver: str | None = None


@functools.cache  # starts a program
def nvidia_card() -> NvidiaCard:
    """The first card."""
    name, _, driver = _first_line(NVIDIA_SMI).rpartition(",")
    return NvidiaCard(name.strip() or None, driver.strip() or None)


@functools.cache  # starts a program on macOS
def processor_name() -> str | None:
    """The processor's model, such as "Apple M2"; None where the system does not report it."""
    system = platform.system()
    name = _on_linux() if system == "Linux" else _first_line(SYSCTL) if system == "Darwin" else None
    return name or platform.processor() or None


def _on_linux() -> str | None:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _first_line(command: tuple[str, ...]) -> str:
    """The first line that a program prints; "" where it prints none, fails, or is not there."""
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SEC, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return shown.strip().partition("\n")[0].strip()
