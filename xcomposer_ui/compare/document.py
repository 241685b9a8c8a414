"""What makes a document self-contained: the question with its picture's hash, and the environment. Loads no torch."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xcomposer_ui import __version__
from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.verdict import verdict
from xcomposer_ui.core.messages import LANGUAGES, Sentence
from xcomposer_ui.core.processor import processor_name
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import RunResult, result_as_json
from xcomposer_ui.core.versions import installed

if TYPE_CHECKING:
    from PIL.Image import Image

LIBRARIES = ("torch", "transformers", "gradio")
DRIVER_TIMEOUT_SEC = 5


def about(
    question: Question, comparison: Comparison, *, file: str | Path | None = None, with_picture: bool = False
) -> dict[str, Any]:
    """The further entries of a comparison's JSON: question, environment, verdict.

    file: where the picture was read from; its bytes' hash is added. with_picture: whether the picture itself is too.
    """
    device = comparison.runs[0].result.device if comparison.runs else None
    reasons = dict(comparison.runs[0].result.reasons) if comparison.runs else {}
    return {
        "question": question_as_json(question, file=file, with_picture=with_picture),
        "environment": environment(device, reasons.get("device")),
        "verdict": {language: verdict(comparison, language) for language in LANGUAGES},
    }


def document_of_run(question: Question, result: RunResult, *, file: str | Path | None = None) -> dict[str, Any]:
    """One run as a self-contained document, of the kind that `comparison_as_json` and `about` make of several."""
    return {
        "runs": [result_as_json(result)],
        "question": question_as_json(question, file=file),
        "environment": environment(result.device, result.reasons.get("device")),
    }


def run_as_json(question: Question, result: RunResult, *, file: str | Path | None = None) -> dict[str, Any]:
    """A run's own fields, with the question and the environment beside them: enough to make a report of."""
    document = document_of_run(question, result, file=file)
    (run,) = document.pop("runs")
    return {**run, **document}


def question_as_json(
    question: Question, *, file: str | Path | None = None, with_picture: bool = False
) -> dict[str, Any]:
    """The question and its settings; the picture by hash and size."""
    return {
        "text": question.text,
        "image": None if question.image is None else picture_as_json(question.image, file, with_picture),
        "history": [list(turn) for turn in question.history],
        "max_new_tokens": question.max_new_tokens,
        "temperature": question.temperature,
        "top_p": question.top_p,
        "repetition_penalty": question.repetition_penalty,
        "seed": question.seed,
        "hd_num": question.hd_num,
    }


def picture_as_json(image: Image, file: str | Path | None = None, with_picture: bool = False) -> dict[str, Any]:
    """Width and height in pixels, the SHA-256 of the RGB values in reading order, and that of the file if there is one.

    with_picture: adds `png_base64`.
    """
    found: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "pixels_sha256": hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(),
        "file_sha256": None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest(),
    }
    if with_picture:
        out = io.BytesIO()
        image.save(out, "PNG")
        found["png_base64"] = base64.b64encode(out.getvalue()).decode()
    return found


def environment(device: str | None, device_reason: Sentence | None = None) -> dict[str, Any]:
    """Versions, processor, GPU and for CUDA its driver; None for what cannot be told."""
    return {
        "xcomposer_ui": __version__,
        "python": platform.python_version(),
        **{name: installed(name) for name in LIBRARIES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "device": device,
        "device_reason": None if device_reason is None else str(device_reason),
        **_card(device),
    }


def _card(device: str | None) -> dict[str, str | None]:
    """The GPU that computed, and its driver. Apple's is part of the processor, and its driver of macOS."""
    if device == "cuda":
        return _nvidia()
    return {"gpu": processor_name() if device == "mps" else None, "driver": None}


@functools.cache  # a program to start, and the same answer each time
def _nvidia() -> dict[str, str | None]:
    """The first GPU's name and its driver's version, as nvidia-smi tells."""
    nothing: dict[str, str | None] = {"gpu": None, "driver": None}
    program = shutil.which("nvidia-smi")
    if program is None:
        return nothing
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=DRIVER_TIMEOUT_SEC, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return nothing
    gpu, _, driver = told.splitlines()[0].rpartition(",") if told.strip() else ("", "", "")
    return {"gpu": gpu.strip() or None, "driver": driver.strip() or None}
