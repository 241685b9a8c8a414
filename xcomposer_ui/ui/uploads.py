"""Visitors' files: which they may name (uploads by path, pictures inline as data: URLs), and how long they stay."""

from __future__ import annotations

import atexit
import base64
import binascii
import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES, too_many_bytes
from xcomposer_ui.core.units import GIB, joined, memory

FILE_META = {"_type": "gradio.FileData"}
"""Marks a JSON object as a file; Gradio checks and deletes only files that are marked."""

DATA_URL = "data:"

KEEP_SEC = 3000.0
"""Seconds after its last use at which a file is deleted. With `TIDY_SEC` it is less than an hour."""

TIDY_SEC = 300.0
"""Between two looks at all files."""

MOST_BYTES = 4 * GIB
"""Of all files together, above which no further one is taken."""

OWN = "xcomposer-lab-"
"""How the names of folders begin that a process makes for itself."""


def is_file(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object names a file, in any of the forms that Gradio reads."""
    return "path" in value or "url" in value


def has_path(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object names a path, which Gradio opens; unlike `is_file`, an address alone is no file."""
    return "path" in value


def check_file(value: Mapping[str, Any]) -> None:
    """Check a JSON object that names a file, without opening, decoding or requesting anything.

    Raises UserError where it is an address to fetch, a path outside the upload cache, or a data: URL that is too long.
    """
    path, url = value.get("path"), value.get("url")
    if isinstance(path, str) and path:
        if "://" in path:
            raise UserError("picture_address")
        if not in_upload_cache(path):
            raise UserError("picture_outside")
    elif isinstance(url, str) and url.startswith(DATA_URL):
        check_data_url(url)
    elif isinstance(url, str) and url:
        raise UserError("picture_address")
    else:
        raise UserError("picture_form")


def as_cached_file(value: Mapping[str, Any]) -> dict[str, Any]:
    """A checked JSON object that names a file, as Gradio stores it: its path with links resolved, no address.

    The bytes of a data: URL are written to the upload cache.
    """
    path = os.path.realpath(value["path"]) if value.get("path") else written(value["url"])
    name = value.get("orig_name")
    return {"path": path, "orig_name": name if isinstance(name, str) else None, "meta": FILE_META}


def in_upload_cache(path: str) -> bool:
    """Whether `path` is below Gradio's upload folder after links are resolved, whether or not the file exists."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(get_upload_folder()))
    except ValueError:  # a NUL in the path
        return False


def check_data_url(url: str) -> None:
    head, comma, _ = url[:200].partition(",")
    if not comma or not head.endswith(";base64"):
        raise UserError("picture_data_url")
    size = (len(url) - len(head) - 1) * 3 // 4
    if size > MAX_FILE_BYTES:
        raise too_many_bytes("picture", size)


def written(url: str) -> str:
    """The path of a file in the upload cache with the bytes of a checked data: URL."""
    try:
        data = base64.b64decode(url[url.index(",") + 1 :])
    except binascii.Error:
        raise UserError("picture_data_url") from None
    file = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest() / "picture"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file.resolve())


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
