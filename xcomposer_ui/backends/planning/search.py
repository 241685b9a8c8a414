"""The most that fits, found in few looks: each look is a rehearsal."""

from __future__ import annotations

from collections.abc import Callable

SLOW = 3
"""So many looks in a row that leave more than half are one-sided, as on a curve: halving is faster."""


def largest(needed: Callable[[int], int], room: int, low: int, high: int, guess: int | None = None) -> int:
    """The number from `low` to `high` whose need is within `room` while the next one's is not; `low - 1` for none.

    needed: grows with its number, nearly along a line. Looked at next is where the line through the largest number
    known to fit and the smallest known not to fit meets the room; where that is one of these two, its neighbours, in
    growing strides; where SLOW looks in a row did not halve what is left between the two, the middle.
    guess: the number after `low` that is looked at first, if any is better than the next.
    """
    looked = {low: needed(low)}
    if looked[low] > room:
        return low - 1
    fits, too_much = low, high + 1
    at, stride = min(guess or low + 1, high), 1
    slow = 0
    while fits + 1 < too_much:
        left = too_much - fits
        looked[at] = needed(at)
        if looked[at] <= room:
            fits = at
        else:
            too_much = at
        slow = 0 if 2 * (too_much - fits) <= left else slow + 1
        start, end = (fits, too_much) if too_much in looked else (low, at)
        pace = (looked[end] - looked[start]) / (end - start)
        aim = start + int((room - looked[start]) / pace) if pace > 0 else high
        if not fits < aim < too_much:
            aim = fits + stride if aim <= fits else too_much - stride
            stride *= 2
        elif slow >= SLOW:
            aim = (fits + too_much) // 2
        at = aim if fits < aim < too_much else (fits + too_much) // 2
    return fits
