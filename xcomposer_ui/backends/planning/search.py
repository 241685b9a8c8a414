"""The most that fits, found in few looks: each look is a rehearsal."""

from __future__ import annotations

from collections.abc import Callable


def largest(needed: Callable[[int], int], room: int, low: int, high: int, guess: int | None = None) -> int:
    """The number from `low` to `high` whose need is within `room` while the next one's is not; `low - 1` for none.

    needed: grows with its number, nearly along a line. Where the line through `low` and the number that was looked at
    last meets the room is looked at next; where that is known already, its neighbours, in growing strides.
    guess: the number after `low` that is looked at first, if any is better than the next.
    """
    first = needed(low)
    if first > room:
        return low - 1
    fits, too_much = low, high + 1
    at, stride = min(guess or low + 1, high), 1
    while fits + 1 < too_much:
        need = needed(at)
        if need <= room:
            fits = at
        else:
            too_much = at
        pace = (need - first) / (at - low)
        aim = low + int((room - first) / pace) if pace > 0 else high
        if not fits < aim < too_much:
            aim = fits + stride if aim <= fits else too_much - stride
            stride *= 2
        at = aim if fits < aim < too_much else (fits + too_much) // 2
    return fits
