"""Which files a visitor may name: uploads, by their path, and pictures inline, as data: URLs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES, too_many_bytes

FILE_META = {"_type": "gradio.FileData"}
"""Marks a JSON object as a file; Gradio checks and deletes only files that are marked."""

DATA_URL = "data:"


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
