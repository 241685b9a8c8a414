"""Common GPU memory sizes, and the capacity that PyTorch reports for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xcomposer_ui.core.units import GIB


@dataclass(frozen=True)
class Card:
    """A size of GPU memory.

    name: as it is sold, in GB. usable_bytes: total capacity as PyTorch reports it, before anything is allocated.
    example, source: a card of that size, and a report in which PyTorch states its capacity.
    """

    name: str
    usable_bytes: int
    example: str
    source: str


CARDS = tuple(
    Card(entry["name"], int(entry["usable_gib"] * GIB), entry["example"], entry["source"])
    for entry in json.loads((Path(__file__).parent / "data" / "cards.json").read_text(encoding="utf-8"))
)
"""Smallest first. Capacities are from out-of-memory messages, of a card at the low end of its size."""


def fits(needed_bytes: int) -> Mapping[str, bool]:
    """Card's name -> whether `needed_bytes`, as the driver counts them, fit on the otherwise empty card."""
    return {card.name: needed_bytes <= card.usable_bytes for card in CARDS}
