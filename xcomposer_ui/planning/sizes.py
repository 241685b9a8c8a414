"""Sizes of memory in words."""

from __future__ import annotations

GIB = 1 << 30


def gibibytes(size: int) -> str:
    """`size` bytes in GiB, or MiB where that is less than a tenth."""
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.2f} MiB"
