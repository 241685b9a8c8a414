"""The default half and strategy of a machine, each with its reason. A fact that is unknown has no effect on them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.planning.hardware import OK, SLOW, UNKNOWN, Check, this_machine


class Machine:
    """This machine's check, made once. Safe from any thread.

    make: makes the check, which takes seconds where torch is not loaded yet.
    """

    def __init__(self, make: Callable[[], Check] = this_machine) -> None:
        self._make = make
        self._lock = threading.Lock()
        self.known: Check | None = None
        """The check, None before it was made. Reading it does not wait."""

    def check(self) -> Check:
        """The check, made at the first call."""
        with self._lock:
            if self.known is None:
                self.known = self._make()
            return self.known


def verdict_on(half: str, device: str, check: Check | None) -> str:
    """The check's verdict on arithmetic in `half` on "cpu", "cuda" or "mps"; "unknown" where it has none."""
    name = f"{_part(device)} {half}"
    return next((item.verdict for item in check.items if item.name == name), UNKNOWN) if check else UNKNOWN


def half_for(device: str, check: Check | None) -> tuple[str, Message]:
    """The default 16-bit type, and the reason.

    It is float16 on every machine, so that the error appears with the message that people report. The reason includes
    the machine's support for it.
    """
    float16, bfloat16 = (verdict_on(half, device, check) for half in HALF_DTYPES)
    case = {OK: "native", SLOW: "bfloat16_native" if bfloat16 == OK else "none_native"}.get(float16, "published")
    return "float16", Message(f"reason.half.{case}", part=_part(device))


def strategy_for(half: str, device: str, check: Check | None, *, full_fits: bool) -> tuple[str, Message]:
    """The default strategy, and the reason: autocast, which works on every machine, or full precision.

    full_fits: whether float32 weights fit into memory for certain.
    """
    case = {OK: "native", SLOW: "full_faster" if full_fits else "full_may_not_fit"}.get(
        verdict_on(half, device, check), "everywhere"
    )
    reason = Message(f"reason.strategy.{case}", part=_part(device), half=half)
    return "full" if case == "full_faster" else "autocast", reason


def _part(device: str) -> str:
    return "CPU" if device == "cpu" else "GPU"
