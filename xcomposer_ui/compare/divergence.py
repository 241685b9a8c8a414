"""The divergence of a variant from full precision: frozen records, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xcomposer_ui.core.messages import Sentence


@dataclass(frozen=True)
class LayerDivergence:
    """The error of one call of one module, relative to the same call in the reference.

    call: 0 for the module's first call of the forward. dtype: of the variant's output there.
    relative_error: |variant - reference| / |reference|, Euclidean norms over all values; None where a value is not
    finite, or the reference is all zeros and the variant is not. cosine: -1..1, None likewise.
    max_abs_value: of the variant's finite values; None where there is none. non_finite: how many are NaN or infinite.
    is_block: whether this is a stage of the depth chart (a block, or a module outside the blocks).
    """

    module: str
    call: int
    dtype: str
    relative_error: float | None
    cosine: float | None
    max_abs_value: float | None
    non_finite: int = 0
    is_block: bool = False


@dataclass(frozen=True)
class Divergence:
    """A variant against the reference, on the tokens that full precision chose itself (teacher forcing).

    max_abs_logit_difference: over all answer positions and the vocabulary; None where a logit is not finite.
    mean_kl_divergence: of the variant's distribution from the reference's, KL(reference ‖ variant), in nats, mean over
    answer positions; None where a logit is not finite.
    top1_agreement: share 0..1 of positions whose likeliest token is the same; a position with NaN disagrees.
    first_different_token: index in free running, each choosing its own tokens; None where the answers are the same.
    largest_activation_share: the largest |value| of a module's output, over the largest finite value of its dtype; None
    where a value is not finite. largest_activation_module: the module with that output.
    non_finite_positions: answer positions with a logit that is NaN or infinite. first_non_finite_module: the first
    module with such a value, None where there is none.
    tokens: the texts of the tokens of the free-running answer.
    """

    strategy: str
    half: str
    max_abs_logit_difference: float | None
    mean_kl_divergence: float | None
    top1_agreement: float
    first_different_token: int | None
    largest_activation_share: float | None
    largest_activation_module: str | None
    non_finite_positions: int
    first_non_finite_module: str | None
    layers: tuple[LayerDivergence, ...]
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Divergences:
    """The result of measuring divergence.

    entries: one for each variant that answered, except full precision, in the order of the request.
    floor: full precision against float64, the effect of float32's own rounding. None where float64 would not fit, or
    the device does not support it.
    tokens: the texts of full precision's tokens. failures: "strategy/half" -> "Type: message" of each failure.
    reasons: why something was left out ("floor", "no_float64", "layers", "full").
    """

    entries: tuple[Divergence, ...] = ()
    floor: Divergence | None = None
    tokens: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, Sentence] = field(default_factory=dict)
    stopped: bool = False

    def of(self, strategy: str, half: str) -> Divergence | None:
        """The entry of one variant; None where there is none."""
        return next((d for d in self.entries if (d.strategy, d.half) == (strategy, half)), None)


@dataclass(frozen=True)
class Diverging:
    """The divergence is being measured. Yielded between modules, so that the measurement can be stopped."""


@dataclass(frozen=True)
class Diverged:
    """The last event of measuring divergence."""

    divergences: Divergences
