"""The search for the largest batch or tile count that fits, in few evaluations: each is a dry run."""

from __future__ import annotations

from collections.abc import Callable

SLOW = 3
"""Evaluations in a row that do not halve the interval, after which it is bisected."""


def largest(needed: Callable[[int], int], available: int, low: int, high: int, guess: int | None = None) -> int:
    """The largest number from `low` to `high` whose need is at most `available`; `low - 1` if there is none.

    needed: increasing, nearly linear. The next number evaluated is where the line through the largest number known to
    fit and the smallest known not to fit reaches `available` (the secant method); if that is one of the two, one of
    their neighbours, in growing strides; after SLOW evaluations that did not halve the interval, its middle.
    guess: the number to evaluate after `low`; None for `low + 1`.
    """
    needs = {low: needed(low)}
    if needs[low] > available:
        return low - 1
    fits, too_much = low, high + 1
    at, stride = min(guess or low + 1, high), 1
    slow = 0
    while fits + 1 < too_much:
        left = too_much - fits
        needs[at] = needed(at)
        if needs[at] <= available:
            fits = at
        else:
            too_much = at
        slow = 0 if 2 * (too_much - fits) <= left else slow + 1
        start, end = (fits, too_much) if too_much in needs else (low, at)
        slope = (needs[end] - needs[start]) / (end - start)
        aim = start + int((available - needs[start]) / slope) if slope > 0 else high
        if not fits < aim < too_much:
            aim = fits + stride if aim <= fits else too_much - stride
            stride *= 2
        elif slow >= SLOW:
            aim = (fits + too_much) // 2
        at = aim if fits < aim < too_much else (fits + too_much) // 2
    return fits
