"""The search for the most that fits, on needs that are made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xcomposer_ui.backends.planning.planner import largest


@pytest.mark.parametrize("guess", [None, 2, 37, 38, 100, 1000])
@pytest.mark.parametrize("most", [1, 2, 37, 99, 100])
def test_the_largest_that_fits_is_found_from_any_guess(most: int, guess: int | None) -> None:
    for needed in (lambda n: n, lambda n: 1000 * n * n + 7, lambda n: n // 8 * 8, lambda n: int(n > most)):
        room = needed(most)
        right = max(n for n in range(1, 101) if needed(n) <= room)
        assert largest(needed, room, 1, 100, guess) == right
    assert largest(lambda n: n, 0, 1, 100, guess) == 0


def test_few_looks_are_needed_where_the_need_is_nearly_a_line() -> None:
    looked: list[int] = []

    def needed(n: int) -> int:
        looked.append(n)
        return -(-(5_000_000 + 317_000 * n) >> 21) << 21  # as the card's allocator rounds

    assert largest(needed, 1 << 30, 1, 4096) == 3371
    assert len(looked) < 10


@pytest.mark.parametrize("most", [3, 50, 1184, 3000])
@pytest.mark.parametrize(
    "needed",
    [lambda n: 10**9 + 1000 * n + 300_000 * max(0, n - 800), lambda n: 1000 * n * n + 7],
    ids=["a kink", "a curve"],
)
def test_few_looks_are_needed_where_the_need_is_no_line(needed: Callable[[int], int], most: int) -> None:
    looked: list[int] = []

    def noted(n: int) -> int:
        looked.append(n)
        return needed(n)

    assert largest(noted, needed(most), 1, 4096) == most
    assert len(looked) < 25
