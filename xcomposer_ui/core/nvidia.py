"""The NVIDIA card and its driver, as the driver's own program reports them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT_SEC = 5


@dataclass(frozen=True)
class NvidiaCard:
    """name: such as "NVIDIA A100-SXM4-80GB". driver: its version, such as "550.54.15". None where unknown."""

    name: str | None = None
    driver: str | None = None


@functools.cache  # starts a program
def nvidia_card() -> NvidiaCard:
    """The first card, from nvidia-smi, which the driver brings on every system."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return NvidiaCard()
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_SEC, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return NvidiaCard()
    name, _, driver = shown.splitlines()[0].rpartition(",") if shown.strip() else ("", "", "")
    return NvidiaCard(name.strip() or None, driver.strip() or None)
