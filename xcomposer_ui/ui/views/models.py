"""The models: the head line with the current one, and the table of those offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import Message, sentences
from xcomposer_ui.core.settings import is_hub_id
from xcomposer_ui.core.strategies import HALF_WEIGHTS, STRATEGIES, WeightsFormat, strategy_name, weights_formats
from xcomposer_ui.core.units import UNKNOWN
from xcomposer_ui.planning.catalogue import TEXT_TOKENS, Entry
from xcomposer_ui.ui.html import render

Fitting = Mapping[str, tuple[str, ...] | None]
"""Model -> the strategies that fit this machine, None where that is unknown."""


def head_line(status: Status, language: str) -> Markup:
    """Model, device and 16-bit dtype of `status` in one line, with the reason of each choice behind it."""
    return render("head", language, status=status)


def models_table(entries: Sequence[Entry], status: Status, fitting: Fitting, language: str) -> Markup:
    """`entries` with their sizes, the strategies that fit, and their state."""
    formats = weights_formats()
    rows = []
    for entry in entries:
        sizes = (entry.disk_bytes, *(entry.needed_bytes(weights) for weights in formats))
        loaded = [dtype for model, dtype in status.loaded if model == entry.name]
        rows.append((entry, sizes, _fits(fitting.get(entry.name), language), loaded, _state(entry)))
    needs = [_needs(weights) for weights in formats]
    heads = [Message("models.name"), Message("models.disk"), *needs, Message("models.fits"), Message("models.state")]
    return render("models", language, heads=heads, rows=rows, notes=Message("models.note", tokens=TEXT_TOKENS))


def _needs(weights: WeightsFormat) -> Message:
    key = f"models.{weights.name}"
    return Message(key) if key in sentences("en") else Message("models.needs", weights=weights.name)


def _state(entry: Entry) -> Message:
    """Where the weights are: on this machine, on the hub, or, where the name is no hub id, nowhere."""
    if entry.is_local:
        return Message("models.here")
    return Message("models.away" if is_hub_id(entry.name) else "models.missing")


def _fits(fitting: tuple[str, ...] | None, language: str) -> Message | str:
    """The strategies that fit, in short: all, none, those with 16-bit weights, or their names."""
    if fitting is None:
        return UNKNOWN
    if not fitting:
        return Message("models.fits.none")
    if set(fitting) == set(STRATEGIES):
        return Message("models.fits.all")
    if set(fitting) == {name for name, strategy in STRATEGIES.items() if strategy.weights == HALF_WEIGHTS}:
        return Message("models.fits.half")
    return ", ".join(strategy_name(name, language) for name in fitting)
