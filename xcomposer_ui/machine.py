"""The check of this machine, made once and kept, and the choices that follow from it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from xcomposer_ui.checks import OK, SLOW, UNKNOWN, Check, this_machine
from xcomposer_ui.strategies import HALF_DTYPES

FIRST_STRATEGY = "autocast"
"""What is chosen while nothing is known: it works on every machine, with the picture as it comes."""

PUBLISHED_HALF = "the type of the published weights and of the reported error"


class Machine:
    """look: makes the check, which takes seconds where torch is not loaded yet. Safe from any thread."""

    def __init__(self, look: Callable[[], Check] = this_machine) -> None:
        self._look = look
        self._looking = threading.Lock()
        self.known: Check | None = None
        """The check, once it was made; reading it takes no time."""

    def check(self) -> Check:
        """The check; made at the first call."""
        with self._looking:
            if self.known is None:
                self.known = self._look()
            return self.known


def verdict_on(half: str, device: str, check: Check | None) -> str:
    """The check's verdict on arithmetic in `half` on "cpu", "cuda" or "mps"; "unknown" where it does not say."""
    name = f"{_part(device)} {half}"
    return next((item.verdict for item in check.items if item.name == name), UNKNOWN) if check else UNKNOWN


def half_for(device: str, check: Check | None) -> tuple[str, str]:
    """(the 16-bit type where none is asked for, why).

    It is float16 everywhere, so that the error that people report appears as they report it; what the machine makes
    of it is part of the reason.
    """
    float16, bfloat16 = (verdict_on(half, device, check) for half in HALF_DTYPES)
    if float16 == OK:
        return "float16", f"{PUBLISHED_HALF}; native on this {_part(device)}"
    if float16 == SLOW and bfloat16 == OK:
        return "float16", f"{PUBLISHED_HALF}; on this {_part(device)} only bfloat16 is native, and quicker"
    if float16 == SLOW:
        return "float16", f"{PUBLISHED_HALF}; no 16-bit type is native on this {_part(device)}"
    return "float16", f"{PUBLISHED_HALF}; every device computes it"


def strategy_for(half: str, device: str, check: Check | None, *, full_fits: bool) -> tuple[str, str]:
    """(the strategy to begin with, why). full_fits: whether float32 weights have room for sure."""
    verdict = verdict_on(half, device, check)
    if verdict == SLOW and full_fits:
        return (
            "full",
            f"this {_part(device)} has no native {half}: float32 is faster here, and its weights fit in memory",
        )
    if verdict == SLOW:
        return FIRST_STRATEGY, f"this {_part(device)} has no native {half}, but float32 weights may not fit in memory"
    if verdict == OK:
        return (
            FIRST_STRATEGY,
            f"this {_part(device)} computes {half} natively, and autocast takes the float32 picture as it is",
        )
    return FIRST_STRATEGY, "it works on every machine"


def _part(device: str) -> str:
    return "CPU" if device == "cpu" else "GPU"
