"""Alignment of two sequences by the names of their rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

Row = TypeVar("Row")


def paired(
    left: Sequence[Row], right: Sequence[Row], name: Callable[[Row], Hashable]
) -> Iterator[tuple[Row | None, Row | None]]:
    """Pair the nth row of each name in `left` with the nth of that name in `right`; None where one side has none.

    Rows keep their order; where the two orders contradict each other, that of `left` is used.
    """
    lefts, rights = _numbered(left, name), _numbered(right, name)
    right_items = list(rights.items())
    position = {key: index for index, key in enumerate(rights)}
    done = 0
    for key, row in lefts.items():
        if key in rights:
            yield from (
                (None, other) for other_key, other in right_items[done : position[key]] if other_key not in lefts
            )
            done = max(done, position[key] + 1)
        yield row, rights.get(key)
    yield from ((None, other) for other_key, other in right_items[done:] if other_key not in lefts)


def _numbered(rows: Sequence[Row], name: Callable[[Row], Hashable]) -> dict[tuple[Hashable, int], Row]:
    """(name, number of earlier rows of that name) -> row."""
    seen: dict[Hashable, int] = {}
    numbered = {}
    for row in rows:
        key = name(row)
        numbered[key, seen.get(key, 0)] = row
        seen[key] = seen.get(key, 0) + 1
    return numbered
