"""Gradio's picture inputs, made to hand over the uploaded file as it came: `images.open_picture` is the one judge.

Gradio's own inputs open the file first, and fail without a sentence on what they cannot read.
"""

from __future__ import annotations

import base64
import hashlib
from abc import ABCMeta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import gradio as gr
from gradio.data_classes import ImageData


def _picture_path(self: gr.Image, payload: ImageData | None) -> str | None:
    """The uploaded file's path on the server, unopened; None without a picture."""
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        return _written(payload.url, Path(self.GRADIO_CACHE))
    return payload.path


def _written(url: str, folder: Path) -> str:
    """The bytes of a data: URL as a file in `folder`, unopened; an empty one where they cannot be read out."""
    head, _, body = url.partition(",")
    try:
        data = base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    except ValueError:
        data = b""
    file = folder / hashlib.sha256(data).hexdigest() / "picture"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file)


def _drawing_path(self: gr.ImageEditor, payload: Any) -> str | None:
    """The flattened drawing's path on the server, unopened; None where nothing was drawn."""
    if payload is not None and payload.id is not None:
        payload = self.blob_storage.pop(payload.id, None)
    composite = payload.composite if payload is not None else None
    return composite.path if composite is not None else None


def _with_preprocess(kind: type[Any], preprocess: Any) -> type[Any]:
    """`kind` with another `preprocess`, the same component in the browser.

    Made past Gradio's own metaclass, which writes an interface file beside the source of every component class.
    """
    own = {"preprocess": preprocess, "is_template": True, "__module__": __name__}
    return ABCMeta.__new__(type(kind), kind.__name__, (kind,), own)


PictureInput = _with_preprocess(gr.Image, _picture_path)
"""`gr.Image(type="filepath")` whose value is the uploaded file's path, unopened."""

DrawingInput = _with_preprocess(gr.ImageEditor, _drawing_path)
"""`gr.ImageEditor(type="filepath")` whose value is the path of the flattened drawing, unopened."""
