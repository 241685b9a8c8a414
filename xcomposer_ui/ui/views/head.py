"""The head line: model, device and 16-bit type, and why each was chosen."""

from __future__ import annotations

from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import Sentence, text, worded
from xcomposer_ui.ui.views.marks import dtype_chip, escaped

DOT = '<em aria-hidden="true">·</em>'


def head_line(status: Status, language: str) -> str:
    """`status` in one line that opens to the reasons; what is not known yet says that the lab is starting."""
    pending = f'<span class="xl-pending">{escaped(text("head.pending", language))}</span>'
    device = f"<span>{escaped(status.device.upper())}</span>" if status.device else pending
    half = dtype_chip(status.half) if status.half else ""
    label = escaped(text("head.label", language))
    return (
        f'<details class="xl-head"><summary aria-label="{label}"><span>{escaped(short_name(status.model))}</span>'
        f"{DOT}{device}{DOT + half if half else ''}"
        f'<span class="xl-why">{escaped(text("head.why", language))}</span></summary>'
        f"<dl>{_row('model', escaped(status.model), None, language)}"
        f"{_row('device', escaped(status.device or '…'), status.reasons.get('device'), language)}"
        f"{_row('half', half or '…', status.reasons.get('half'), language)}"
        f"{_row('memory', _loaded(status, language), None, language)}</dl></details>"
    )


def short_name(model: str) -> str:
    """The last part of a model's name or folder: what there is room for."""
    return model.rstrip("/").rsplit("/", 1)[-1] or model


def _row(name: str, value: str, reason: Sentence | None, language: str) -> str:
    why = f"<small>{escaped(worded(reason, language))}</small>" if reason else ""
    return f"<div><dt>{escaped(text(f'head.{name}', language))}</dt><dd>{value}{why}</dd></div>"


def _loaded(status: Status, language: str) -> str:
    if not status.loaded:
        return escaped(text("head.nothing_loaded", language))
    return " ".join(f"{escaped(short_name(model))} {dtype_chip(dtype)}" for model, dtype in status.loaded)
