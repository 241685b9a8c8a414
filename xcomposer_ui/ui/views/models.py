"""The models: which one the head of the page names, and the table of those that can be chosen."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import Message, text
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import UNKNOWN, joined, memory
from xcomposer_ui.planning.catalogue import TEXT_TOKENS, Entry
from xcomposer_ui.ui.html import render

COLUMNS = ("name", "disk", "half", "full", "fits", "state")


def head_line(status: Status, language: str) -> Markup:
    """Model, device and 16-bit type of `status` in one line that opens to the reason of each choice."""
    return render("head", language, status=status)


def models_table(entries: Sequence[Entry], status: Status, budget_bytes: int | None, language: str) -> Markup:
    """`entries` with their sizes, whether they fit, and their state.

    budget_bytes: memory that a run may take on this machine, None where it is not known yet.
    """
    notes = text("models.note", language, tokens=TEXT_TOKENS)
    if len(entries) == 1:
        notes += " " + text("models.one", language)
    rows = [
        (
            entry,
            [joined(memory(size)) for size in _sizes(entry)],
            _fits(entry, budget_bytes),
            [dtype for model, dtype in status.loaded if model == entry.name],
        )
        for entry in entries
    ]
    return render("models", language, heads=[Message(f"models.{name}") for name in COLUMNS], rows=rows, notes=notes)


def _sizes(entry: Entry) -> tuple[int | None, ...]:
    """Bytes on disk, with 16-bit weights in memory, and with float32 weights in memory."""
    return entry.disk_bytes, *(entry.needed_bytes(STRATEGIES[name]) for name in ("unified", "full"))


def _fits(entry: Entry, budget_bytes: int | None) -> Message | str:
    fitting = entry.fitting(budget_bytes)
    if fitting is None:
        return UNKNOWN
    kind = "all" if len(fitting) == len(STRATEGIES) else "half" if fitting else "none"
    return Message(f"models.fits.{kind}")
