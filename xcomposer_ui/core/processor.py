"""The processor's name, as the operating system reports it."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
SYSCTL = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
SYSCTL_TIMEOUT_SEC = 5


@functools.cache  # starts a program on macOS
def processor_name() -> str | None:
    """The processor's model, such as "Apple M2"; None where the system does not report it."""
    read = {"Linux": _on_linux, "Darwin": _on_macos}.get(platform.system())
    return (read() if read else None) or platform.processor() or None


def _on_linux() -> str | None:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _on_macos() -> str | None:
    try:
        done = subprocess.run(SYSCTL, capture_output=True, text=True, timeout=SYSCTL_TIMEOUT_SEC, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
