"""Gradio's picture inputs with the uploaded file's path as their value: only `core.images.open_picture` opens it.

Gradio's own inputs open the file first, and end the event with an unexplained error where they cannot read it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import gradio as gr
from gradio.data_classes import ImageData


class PictureInput(gr.Image):
    """`gr.Image(type="filepath")` whose value is the uploaded file's path on the server, unopened."""

    is_template = True  # the same component in the browser

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            return _written(payload.url, Path(self.GRADIO_CACHE))
        return payload.path


class DrawingInput(gr.ImageEditor):
    """`gr.ImageEditor(type="filepath")` whose value is the flattened drawing's path, unopened; None without one."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:  # type: ignore[override]
        if payload is not None and payload.id is not None:
            payload = self.blob_storage.pop(payload.id, None)
        composite = payload.composite if payload is not None else None
        return composite.path if composite is not None else None


def _written(url: str, folder: Path) -> str:
    """The bytes of a data: URL as a file in `folder`; an empty file where they cannot be decoded."""
    head, _, body = url.partition(",")
    try:
        data = base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    except ValueError:
        data = b""
    file = folder / hashlib.sha256(data).hexdigest() / "picture"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file)
