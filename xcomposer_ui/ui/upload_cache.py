"""How long visitors' files stay in the upload cache, and how much of the disk they take."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.units import GIB, joined, memory
from xcomposer_ui.ui.uploads import FILE_META

KEEP_SEC = 3000.0
"""Seconds after its last use at which a file is deleted. With `TIDY_SEC` it is less than an hour."""

TIDY_SEC = 300.0
"""Between two looks at all files."""

MOST_BYTES = 4 * GIB
"""Of all files together, above which no further one is taken."""


OWN = "xcomposer-lab-"
"""How the names of folders begin that a process makes for itself."""


class UploadCache:
    """The files below Gradio's upload folder, and which sessions use them. Thread-safe.

    A file is used by the call that names it, and then as long as its session's page is open: its time is renewed.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.time) -> None:
        self._most, self._clock = most_bytes, clock
        self._lock = threading.Lock()
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._bytes = 0

    def named(self, session: str, body: Any) -> None:
        """Record the files that a checked call of `session` names, at any depth of its JSON `body`."""
        if found := list(_files_in(body)):
            with self._lock:
                self._files[session].update(found)
            self._renew(found)

    def tidy(self, in_use: Collection[str]) -> None:
        """Delete what nobody has used for `KEEP_SEC`.

        in_use: the sessions that have an open page or a call in progress.
        """
        with self._lock:
            for session in [one for one in self._files if one not in in_use]:
                del self._files[session]
            used: set[str] = set().union(*self._files.values())
        self._renew(used)
        left, oldest = 0, self._clock() - KEEP_SEC
        for folder, _, names in os.walk(get_upload_folder(), topdown=False):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(OSError):  # deleted meanwhile
                    status = path.stat()
                    if status.st_mtime < oldest:
                        path.unlink()
                    else:
                        left += status.st_size
            with contextlib.suppress(OSError):  # Gradio gives each file a folder; one that is not empty stays
                if folder != get_upload_folder() and os.stat(folder).st_mtime < oldest:
                    os.rmdir(folder)
        with self._lock:
            self._bytes = left

    def reserve(self, size: int, in_use: Callable[[], Collection[str]]) -> None:
        """Count a further file of at most `size` bytes. Raises UserError where there is no room for it."""
        if self._bytes + size > self._most:
            self.tidy(in_use())
        with self._lock:
            if self._bytes + size > self._most:
                raise UserError("uploads_full", limit=joined(memory(self._most)))
            self._bytes += size

    def _renew(self, files: Collection[str]) -> None:
        for file in files:
            with contextlib.suppress(OSError):  # deleted meanwhile
                os.utime(file, (self._clock(),) * 2)


def _files_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("meta") == FILE_META:
            yield value["path"]
        else:
            for item in value.values():
                yield from _files_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _files_in(item)


def own_upload_folder() -> None:
    """Give this process an upload folder of its own unless GRADIO_TEMP_DIR names one; it is removed at the end.

    Gradio's default is one folder for all of its programs on a machine, where old files are not ours to delete.
    """
    if "GRADIO_TEMP_DIR" not in os.environ:
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix=OWN)
        atexit.register(delete_uploads)


def delete_uploads() -> None:
    """Delete the upload folder if this process made it for itself."""
    folder = Path(get_upload_folder())
    if folder.name.startswith(OWN):
        shutil.rmtree(folder, ignore_errors=True)
