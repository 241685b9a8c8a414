"""Strategies: the dtypes of weights, picture and arithmetic. Plain data; a new strategy is one more entry.

Dtypes are strings in torch's spelling; HALF stands for the 16-bit dtype of the run.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Message, sentences, worded

HALF_DTYPES = ("float16", "bfloat16")
HALF = "half"


def _dtype(name: str, half: str) -> str:
    return half if name == HALF else name


@dataclass(frozen=True)
class WeightsFormat:
    """How a model's weights are stored in memory.

    dtype: that each weight is cast to as it is read from the checkpoint, or HALF. bytes_per_parameter: in memory.
    """

    name: str
    dtype: str
    bytes_per_parameter: float


HALF_WEIGHTS = WeightsFormat("half", HALF, 2)
FULL_WEIGHTS = WeightsFormat("full", "float32", 4)


@dataclass(frozen=True)
class Strategy:
    """image: the picture's dtype, or HALF. autocast: whether torch.autocast to the 16-bit dtype is on around the call.

    caches_weights: whether autocast keeps the 16-bit copies that it makes of float32 weights.
    compared_in_each_half: whether a comparison of several 16-bit dtypes runs the strategy in each, or in the first.
    """

    name: str
    weights: WeightsFormat
    image: str
    autocast: bool
    caches_weights: bool = True
    compared_in_each_half: bool = False

    def weights_dtype(self, half: str) -> str:
        """The weights' dtype where `half` is the run's 16-bit dtype."""
        return _dtype(self.weights.dtype, half)

    def image_dtype(self, half: str) -> str:
        """The picture's dtype where `half` is the run's 16-bit dtype."""
        return _dtype(self.image, half)

    @property
    def uses_half(self) -> bool:
        """Whether the 16-bit dtype makes a difference."""
        return HALF in (self.weights.dtype, self.image) or self.autocast

    def dtype(self, half: str) -> str:
        """The dtype that names a run of the strategy: `half`, or the weights' where the 16-bit dtype plays no part."""
        return half if self.uses_half else self.weights_dtype(half)

    def key(self, pattern: str = "strategy.{name}") -> str:
        """The locales' key of a text about the strategy; the strategy's name where there is no such text."""
        key = pattern.format(name=self.name)
        return key if key in sentences("en") else self.name


def _by_name(*strategies: Strategy) -> dict[str, Strategy]:
    return {strategy.name: strategy for strategy in strategies}


STRATEGIES: dict[str, Strategy] = _by_name(
    # `as_is` fails alike in either half, so it is compared in one.
    Strategy("as_is", HALF_WEIGHTS, "float32", autocast=False),
    Strategy("autocast", HALF_WEIGHTS, "float32", autocast=True, compared_in_each_half=True),
    Strategy("unified", HALF_WEIGHTS, HALF, autocast=False, compared_in_each_half=True),
    Strategy("full", FULL_WEIGHTS, "float32", autocast=False),
)
"""The strategies of the lab, in the order in which they are shown."""

PLANNED: Mapping[str, Strategy] = ChainMap(
    # Not offered, but common in user code: weights loaded in float32, then autocast around the call.
    _by_name(
        Strategy("autocast_full_weights", FULL_WEIGHTS, "float32", autocast=True),
        Strategy("autocast_full_weights_uncached", FULL_WEIGHTS, "float32", autocast=True, caches_weights=False),
    ),
    STRATEGIES,
)
"""The strategies of a plan: STRATEGIES, and after them those that are planned only."""

REFERENCE = "full"
"""The strategy that the others are compared with."""


def strategy_named(name: str) -> Strategy:
    """The strategy called `name`. Raises UserError with the known names for any other."""
    if name not in STRATEGIES:
        raise UserError("unknown_strategy", name=name, known=", ".join(STRATEGIES))
    return STRATEGIES[name]


def strategy_title(name: str) -> Message | str:
    """The display name of a strategy in PLANNED as a Message; any other name unchanged."""
    key = PLANNED[name].key() if name in PLANNED else name
    return Message(key) if key != name else name


def strategy_name(name: str, language: str) -> str:
    """`strategy_title` in `language`."""
    return worded(strategy_title(name), language)


def strategy_choices() -> list[tuple[str, str]]:
    """(key of the label, name) of every strategy of the lab."""
    return [(strategy.key(), strategy.name) for strategy in STRATEGIES.values()]


def weights_formats() -> tuple[WeightsFormat, ...]:
    """The formats of STRATEGIES, in order of first appearance."""
    return tuple(dict.fromkeys(strategy.weights for strategy in STRATEGIES.values()))


def checked_half(name: str) -> str:
    """`name` if it is a 16-bit dtype. Raises UserError with the known ones for any other."""
    if name not in HALF_DTYPES:
        raise UserError("unknown_half", name=name, known=", ".join(HALF_DTYPES))
    return name
