"""The way of dtypes through a model's run, as records: what the tracer writes and views read. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Cast:
    """One operation that turned a tensor into another dtype. count: how often it did within one module call."""

    operation: str
    from_dtype: str
    to_dtype: str
    count: int = 1


@dataclass(frozen=True)
class ModuleCall:
    """One call of one module. dtypes: torch's spelling, in order of appearance, without repeats.

    index: the call's place in the run, from 0. depth: 0 for the outermost module that was called.
    casts: those in the module's own code, not in its submodules'.
    max_abs: the largest finite |value| of the floating-point outputs; non_finite: how many are NaN or infinite.
    Both None where values were not asked for. calls: how many equal calls this row stands for.
    """

    index: int
    name: str
    class_name: str
    depth: int
    dtypes_in: tuple[str, ...]
    dtypes_out: tuple[str, ...]
    dtypes_parameters: tuple[str, ...]
    casts: tuple[Cast, ...] = ()
    max_abs: float | None = None
    non_finite: int | None = None
    failed: bool = False
    calls: int = 1

    @property
    def is_island(self) -> bool:
        """Whether it computes in a wider dtype than it is given and gives back: float32 amid half types."""
        widened = {cast.to_dtype for cast in self.casts}
        return "float32" in widened and "float32" not in self.dtypes_in and "float32" not in self.dtypes_out


@dataclass(frozen=True)
class DtypeFlow:
    """A run's module calls in the order in which they began; `error` is the last line of what ended it early."""

    calls: tuple[ModuleCall, ...]
    error: str | None = None
    truncated: bool = False

    def rows(self) -> tuple[ModuleCall, ...]:
        """One row for each module and way through it, in order of first appearance; equal calls are counted."""
        merged: dict[tuple[Any, ...], ModuleCall] = {}
        for call in self.calls:
            casts = tuple(replace(cast, count=1) for cast in call.casts)
            key = (call.name, call.dtypes_in, call.dtypes_out, casts, call.failed)
            merged[key] = _merge(merged[key], call) if key in merged else call
        return tuple(merged.values())

    def first_non_finite(self) -> ModuleCall | None:
        """The first call to end with NaN or infinity in its output: where it arose. None without, or if not asked."""
        ended = [call for call in self.calls if call.non_finite]
        # An outer module ends after the inner one that made the value: the deepest of the first is where it arose.
        return min(ended, key=lambda call: (call.index + _inner(self.calls, call), -call.depth), default=None)


def _inner(calls: tuple[ModuleCall, ...], outer: ModuleCall) -> int:
    """How many calls happened inside `outer`: it ends after them."""
    count = 0
    for call in calls[outer.index + 1 :]:
        if call.depth <= outer.depth:
            break
        count += 1
    return count


def _merge(row: ModuleCall, call: ModuleCall) -> ModuleCall:
    return replace(
        row,
        calls=row.calls + call.calls,
        max_abs=max((v for v in (row.max_abs, call.max_abs) if v is not None), default=None),
        non_finite=None if row.non_finite is None else row.non_finite + (call.non_finite or 0),
    )


def aligned(first: DtypeFlow, second: DtypeFlow) -> Iterator[tuple[ModuleCall | None, ModuleCall | None]]:
    """The rows of two flows side by side, by module: None where a module ran in one of them only."""
    left, right = first.rows(), second.rows()
    places: dict[tuple[str, int], ModuleCall] = {}
    for row in right:
        places[(row.name, sum(1 for n, _ in places if n == row.name))] = row
    seen: dict[str, int] = {}
    for row in left:
        nth = seen.get(row.name, 0)
        seen[row.name] = nth + 1
        yield row, places.pop((row.name, nth), None)
    for row in places.values():
        yield None, row


def flow_as_json(flow: DtypeFlow) -> dict[str, Any]:
    """`flow` in the field names that scripts rely on."""
    return {
        "error": flow.error,
        "truncated": flow.truncated,
        "calls": [
            {
                "index": call.index,
                "module": call.name,
                "class": call.class_name,
                "depth": call.depth,
                "dtypes_in": list(call.dtypes_in),
                "dtypes_out": list(call.dtypes_out),
                "dtypes_parameters": list(call.dtypes_parameters),
                "casts": [
                    {"operation": c.operation, "from": c.from_dtype, "to": c.to_dtype, "count": c.count}
                    for c in call.casts
                ],
                "island": call.is_island,
                "max_abs": call.max_abs,
                "non_finite": call.non_finite,
                "failed": call.failed,
            }
            for call in flow.calls
        ],
    }
