"""Usual GPUs by their memory, and how much of it PyTorch finds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Card:
    """name: as it is sold, in GB. usable_bytes: total capacity as PyTorch reports it, before anything is allocated.

    example, source: a card of that size, and a report in which PyTorch names its capacity.
    """

    name: str
    usable_bytes: int
    example: str
    source: str


def _card(name: str, usable_gib: float, example: str, source: str) -> Card:
    return Card(name, int(usable_gib * GIB), example, source)


# The capacity is what out-of-memory messages say; of several cards of one size, one with little.
CARDS: tuple[Card, ...] = (
    _card("8 GB", 7.78, "GeForce RTX 3070", "akshitac8/OW-DETR#46"),
    _card("12 GB", 11.66, "GeForce RTX, 12 GB", "FireRedTeam/FireRedTTS2#17"),
    _card("16 GB", 14.75, "T4", "hpcaitech/Open-Sora#697"),
    _card("24 GB", 23.61, "GeForce RTX 4090", "pinokiofactory/flux-webui#11"),
    _card("32 GB", 31.51, "32 GB card", "siliconflow/onediff#1041"),
    _card("40 GB", 39.50, "A100 40 GB", "TianheWu/CoSeR#10"),
    _card("48 GB", 47.46, "Quadro RTX 8000", "Victarry/stable-dreambooth#8"),
    _card("80 GB", 79.11, "H100 80 GB", "vllm-project/vllm#27508"),
    # No report at hand: 141 · 10⁹ bytes less the same share as the 80 GB card lacks of its 80 GiB.
    _card("141 GB", 141e9 / GIB * 79.11 / 80, "H200", "141 · 10⁹ bytes, less 1.1 %"),
)


def fits(needed_bytes: int, cards: tuple[Card, ...] = CARDS) -> Mapping[str, bool]:
    """Card's name -> whether `needed_bytes`, as the driver counts them, fit it with nothing else on it."""
    return {card.name: needed_bytes <= card.usable_bytes for card in cards}
