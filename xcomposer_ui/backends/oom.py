"""Whether a failure says that memory ran out: on the device or the host, in the words of each allocator."""

from __future__ import annotations

TYPES = ("OutOfMemoryError", "MemoryError")
WORDS = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def out_of_memory(failure_type: str | None, message: str) -> bool:
    """failure_type: an exception's class name. message: its text."""
    return failure_type in TYPES or any(words in message for words in WORDS)
