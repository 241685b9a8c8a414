"""The strategies: how weights, picture and arithmetic get their dtype. Plain data; adding one is one entry here.

Dtypes are strings in torch's spelling; "half" stands for the 16-bit dtype in play.
"""

from __future__ import annotations

from dataclasses import dataclass

from xcomposer_ui.core.errors import UserError

HALF_DTYPES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Strategy:
    """weights, image: "half" or "float32". autocast: whether torch.autocast to half is on around the call."""

    name: str
    weights: str
    image: str
    autocast: bool

    def weights_dtype(self, half: str) -> str:
        """The weights' dtype where `half` is the 16-bit one in play."""
        return half if self.weights == "half" else self.weights

    def image_dtype(self, half: str) -> str:
        """The picture's dtype where `half` is the 16-bit one in play."""
        return half if self.image == "half" else self.image


STRATEGIES: dict[str, Strategy] = {
    s.name: s
    for s in (
        Strategy("as_is", weights="half", image="float32", autocast=False),
        Strategy("autocast", weights="half", image="float32", autocast=True),
        Strategy("unified", weights="half", image="half", autocast=False),
        Strategy("full", weights="float32", image="float32", autocast=False),
    )
}


def strategy_named(name: str) -> Strategy:
    """The strategy called `name`. Raises UserError, naming those there are, where there is none."""
    if name not in STRATEGIES:
        raise UserError("unknown_strategy", name=name, known=", ".join(STRATEGIES))
    return STRATEGIES[name]


def checked_half(name: str) -> str:
    """`name` if it is a 16-bit dtype. Raises UserError, naming those there are, where it is none."""
    if name not in HALF_DTYPES:
        raise UserError("unknown_half", name=name, known=", ".join(HALF_DTYPES))
    return name
