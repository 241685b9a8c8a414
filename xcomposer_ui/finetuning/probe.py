"""One step of a training, measured in full: counts of gradients and updates, magnitudes, largest values.

Frozen records; the package's backend fills them in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class GradientCounts:
    """Elements of a recipe's gradients as the backward pass computed them, beside float32's at the same weights.

    elements: all. zero, subnormal: those that are so in the recipe's dtype although float32's are neither.
    overflow: those that are not finite although float32's are.
    """

    elements: int = 0
    zero: int = 0
    subnormal: int = 0
    overflow: int = 0

    def __add__(self, other: GradientCounts) -> GradientCounts:
        return GradientCounts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def underflow(self) -> float | None:
        """The share that is zero or subnormal, 0..1; None where nothing was counted."""
        return (self.zero + self.subnormal) / self.elements if self.elements else None


@dataclass(frozen=True)
class UpdateCounts:
    """Elements of the weights that the optimizer updates.

    changed: those whose update, computed in float64, is not zero. swallowed: of these, those where adding it to the
    weight gives the same weight again in its dtype.
    """

    changed: int = 0
    swallowed: int = 0

    def __add__(self, other: UpdateCounts) -> UpdateCounts:
        return UpdateCounts(self.changed + other.changed, self.swallowed + other.swallowed)

    @property
    def share(self) -> float | None:
        """The share that is swallowed, 0..1; None where nothing changed."""
        return self.swallowed / self.changed if self.changed else None


@dataclass(frozen=True)
class ModuleCounts:
    """The counts of one module, such as "model.layers.0.attention"."""

    module: str
    gradients: GradientCounts
    updates: UpdateCounts


@dataclass(frozen=True)
class Histogram:
    """Magnitudes of float32's gradients: `counts[n]` of them are in [2 ** (lowest + n), 2 ** (lowest + n + 1)).

    zeros: those that are zero, and are in no count.
    """

    lowest: int
    counts: tuple[int, ...]
    zeros: int = 0

    def scaled(self, power: int) -> Histogram:
        """The histogram of the same gradients times 2 ** `power`."""
        return Histogram(self.lowest + power, self.counts, self.zeros)


def summed(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all gradients in `histograms`; there must be one."""
    several = list(histograms)
    lowest = min(h.lowest for h in several)
    counts = [0] * (max(h.lowest + len(h.counts) for h in several) - lowest)
    for histogram in several:
        for n, count in enumerate(histogram.counts):
            counts[histogram.lowest - lowest + n] += count
    return Histogram(lowest, tuple(counts), sum(h.zeros for h in several))


@dataclass(frozen=True)
class Largest:
    """The largest finite magnitude, the module that had it, and its share of the dtype's largest number."""

    value: float
    module: str
    dtype: str
    share: float


@dataclass(frozen=True)
class Probe:
    """One step of a recipe, measured in full.

    step: from 0. loss_scale: that the gradients were computed with, 1 without a scaler.
    histogram: of float32's gradients, without the loss scale. modules: in the order of the model.
    largest_gradient: as the backward pass computed it, loss scale included.
    """

    step: int
    loss_scale: float
    modules: tuple[ModuleCounts, ...]
    histogram: Histogram
    largest_gradient: Largest | None
    largest_activation: Largest | None
