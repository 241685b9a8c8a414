"""Gives back the memory of mapped checkpoint files while they are read.

A checkpoint is mapped, not read into memory; but pages that were looked at stay with the process until something
else wants them. Loaded in another dtype than it is stored in, a model would be counted once and a half or twice.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt")
_MADV_DONTNEED = 4  # <asm-generic/mman-common.h>


def give_back_pages() -> int:
    """Let go of all pages of privately mapped weight files; bytes of mappings told. They are read again if needed.

    What was written into such a mapping in place is lost with its page: for weights that nobody changes only.
    Nothing happens, and 0 comes back, on a system other than Linux.
    """
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    told = 0
    for start, end in _mapped_weights():
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED) == 0:
            told += end - start
    return told


def _mapped_weights() -> Iterator[tuple[int, int]]:
    """Address ranges of the private mappings of weight files."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            addresses, permissions, *_, name = line.split(maxsplit=5) if line.count(" ") > 5 else ("", "", "")
            if permissions.endswith("p") and name.strip().endswith(WEIGHT_SUFFIXES):
                start, end = addresses.split("-")
                yield int(start, 16), int(end, 16)
