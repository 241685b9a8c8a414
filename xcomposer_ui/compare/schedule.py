"""The variants of a comparison and their order, chosen so that warm caches and load affect all variants alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xcomposer_ui.core.strategies import STRATEGIES, checked_half

REPEATS = 3
MOST_REPEATS = 50


@dataclass(frozen=True)
class Variant:
    """A strategy with its 16-bit dtype."""

    strategy: str
    half: str

    @property
    def name(self) -> str:
        """A name that is unique within a comparison: "autocast/float16"."""
        return f"{self.strategy}/{self.half}"

    @property
    def weights_dtype(self) -> str:
        return STRATEGIES[self.strategy].weights_dtype(self.half)


def variants_for(halves: Sequence[str]) -> tuple[Variant, ...]:
    """Every strategy in the first of `halves`; those with `compared_in_each_half` in the others too.

    Raises UserError for an unknown 16-bit dtype.
    """
    kinds = list(dict.fromkeys(checked_half(half) for half in halves))
    variants = []
    for name, strategy in STRATEGIES.items():
        variants += [Variant(name, half) for half in (kinds if strategy.compared_in_each_half else kinds[:1])]
    return tuple(variants)


def interleaved(variants: Sequence[Variant], repeats: int) -> Iterator[Variant]:
    """The variant of every measured run.

    Each round has every variant once. Each round starts one variant later, and every other round is reversed, so that
    a variant runs both early and late, and after different ones.
    """
    for turn in range(repeats):
        start = turn % len(variants)
        order = [*variants[start:], *variants[:start]]
        yield from reversed(order) if turn % 2 else order


def grouped(variants: Sequence[Variant], repeats: int) -> Iterator[Variant]:
    """As `interleaved`, one weights dtype after the other, for weights that do not fit into memory together."""
    for dtype in dict.fromkeys(variant.weights_dtype for variant in variants):
        yield from interleaved([v for v in variants if v.weights_dtype == dtype], repeats)
