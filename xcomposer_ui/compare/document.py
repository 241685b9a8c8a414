"""The parts that make a JSON document self-contained: the question with its picture's hash, and the environment."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xcomposer_ui import __version__
from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.report import as_document
from xcomposer_ui.compare.verdict import host_bound, verdict
from xcomposer_ui.core.hardware_names import nvidia_card, processor_name
from xcomposer_ui.core.messages import LANGUAGES, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult, result_as_json, threads_in
from xcomposer_ui.core.versions import installed

if TYPE_CHECKING:
    from PIL.Image import Image

LIBRARIES = ("torch", "transformers", "gradio")


def context_as_json(request: Request, comparison: Comparison, *, with_picture: bool = False) -> dict[str, Any]:
    """The further entries of a comparison's JSON: question, environment, verdict.

    with_picture: whether to include the picture itself.
    """
    device = comparison.runs[0].result.device if comparison.runs else None
    reasons = comparison.runs[0].result.reasons if comparison.runs else {}
    return {
        "question": question_as_json(request, with_picture=with_picture),
        "environment": environment(device, reasons),
        "verdict": {language: verdict(comparison, language) for language in LANGUAGES},
        "host_bound": host_bound(comparison) or None,
    }


def run_as_json(result: RunResult) -> dict[str, Any]:
    """A run's own fields, question and environment: all that a report needs. The request must have its image."""
    return {
        **result_as_json(result),
        "question": question_as_json(result.request),
        "environment": environment(result.device, result.reasons),
    }


def document_of_run(result: RunResult) -> dict[str, Any]:
    """One run as a self-contained document with the fields of a comparison."""
    return as_document(run_as_json(result))


def question_as_json(request: Request, *, with_picture: bool = False) -> dict[str, Any]:
    """The question and its settings; the picture by hash and size."""
    return {
        "text": request.text,
        "image": None if request.image is None else picture_as_json(request.image, request.file, with_picture),
        "history": [list(turn) for turn in request.history],
        **request.settings,
    }


def picture_as_json(image: Image, file: str | Path | None = None, with_picture: bool = False) -> dict[str, Any]:
    """Width and height in pixels, the SHA-256 of the RGB values in reading order, and that of the file if there is one.

    with_picture: adds `png_base64`.
    """
    found: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "pixels_sha256": hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(),
        # Gradio stores uploads under generated names and deletes them later, so reports identify the file by its hash.
        "file_sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None,
    }
    if with_picture:
        out = io.BytesIO()
        image.save(out, "PNG")
        found["png_base64"] = base64.b64encode(out.getvalue()).decode()
    return found


def environment(device: str | None, reasons: Mapping[str, Sentence]) -> dict[str, Any]:
    """Versions, processor, GPU and for CUDA its driver; None for what is unknown.

    reasons: of a run's result, which say how many threads computed it where it ran on the CPU.
    """
    device_reason = reasons.get("device")
    return {
        "xcomposer_ui": __version__,
        "python": platform.python_version(),
        **{name: installed(name) for name in LIBRARIES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads_in(reasons),
        "device": device,
        "device_reason": None if device_reason is None else str(device_reason),
        **_card(device),
    }


def _card(device: str | None) -> dict[str, str | None]:
    """The GPU in use, and its driver. Apple's GPU is part of the processor, and its driver part of macOS."""
    if device == "cuda":
        card = nvidia_card()
        return {"gpu": card.name, "driver": card.driver}
    return {"gpu": processor_name() if device == "mps" else None, "driver": None}
