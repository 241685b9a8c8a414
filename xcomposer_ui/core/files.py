"""Reading text files, and writing them so that a full disk, or an end in the middle, leaves what was there before."""

from __future__ import annotations

import contextlib
from pathlib import Path

from xcomposer_ui.core.errors import UserError


def read_text(file: Path, *, errors: str = "strict", newline: str | None = None) -> str:
    """The text of `file`, UTF-8 with or without a byte order mark. Raises UserError where it cannot be read.

    errors, newline: as of `open`.
    """
    try:
        with file.open(encoding="utf-8-sig", errors=errors, newline=newline) as opened:
            return opened.read()
    except OSError as error:
        raise UserError("unreadable_text", file=file.name or str(file), what=error.strerror or "") from error


def write_whole(file: Path, text: str) -> None:
    """Replace the content of `file` with `text`: all of it or nothing. Raises UserError where it cannot be written."""
    fresh = file.with_name(file.name + ".new")
    try:
        fresh.write_text(text, encoding="utf-8", newline="")
        fresh.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise _unwritable(file, error) from error


def append_whole(file: Path, text: str) -> None:
    """Append `text` to `file`: all of it or nothing. Raises UserError where it cannot be written."""
    try:
        size = file.stat().st_size if file.exists() else 0
        with file.open("ab", buffering=0) as opened:
            left = memoryview(text.encode())
            try:
                while left:
                    left = left[opened.write(left) :]
            except OSError:
                opened.truncate(size)
                raise
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> UserError:
    return UserError("unwritable_file", file=file.name or str(file), what=error.strerror or "")
