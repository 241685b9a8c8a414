"""Two sequences side by side, by the names of their rows: operation streams differ in length, module calls do not."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

Row = TypeVar("Row")


def paired(
    left: Sequence[Row], right: Sequence[Row], name: Callable[[Row], Hashable]
) -> Iterator[tuple[Row | None, Row | None]]:
    """The nth row of a name beside the nth of that name, None where one side has none; each side in its own order.

    Where the two orders contradict each other, the left one counts.
    """
    lefts, rights = _numbered(left, name), _numbered(right, name)
    waiting = list(rights.items())
    place = {key: index for index, key in enumerate(rights)}
    told = 0
    for key, row in lefts.items():
        if key in rights:
            yield from ((None, other) for other_key, other in waiting[told : place[key]] if other_key not in lefts)
            told = max(told, place[key] + 1)
        yield row, rights.get(key)
    yield from ((None, other) for other_key, other in waiting[told:] if other_key not in lefts)


def _numbered(rows: Sequence[Row], name: Callable[[Row], Hashable]) -> dict[tuple[Hashable, int], Row]:
    """(name, how many of that name came before) -> row."""
    seen: dict[Hashable, int] = {}
    numbered = {}
    for row in rows:
        key = name(row)
        numbered[key, seen.get(key, 0)] = row
        seen[key] = seen.get(key, 0) + 1
    return numbered
