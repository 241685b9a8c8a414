"""Records of a traced run: the dtypes, casts and values of each module call. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from xcomposer_ui.core.result import Operand, operands_as_json


def is_floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


@dataclass(frozen=True)
class Cast:
    """An operation that changed a tensor's dtype. count: how often it did so within one module call."""

    operation: str
    from_dtype: str
    to_dtype: str
    count: int = 1


@dataclass(frozen=True)
class ModuleCall:
    """One call of one module. dtypes: torch's spelling, in order of appearance, without repeats.

    index: the call's position in the run, from 0. depth: 0 for the outermost module that was called.
    casts: those in the module's own code, without its submodules'.
    max_abs: the largest finite |value| of the floating-point outputs; non_finite: how many are NaN or infinite.
    max_abs_in: the largest finite |value| of the floating-point inputs.
    All three are None if values were not recorded. calls: number of equal calls that this row stands for.
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
    max_abs_in: float | None = None
    failed: bool = False
    calls: int = 1

    @property
    def floats_in(self) -> tuple[str, ...]:
        return tuple(filter(is_floating, self.dtypes_in))

    @property
    def floats_out(self) -> tuple[str, ...]:
        return tuple(filter(is_floating, self.dtypes_out))

    @property
    def is_island(self) -> bool:
        """Whether the module computes in float32 although its inputs and outputs are in other types."""
        widened = {cast.to_dtype for cast in self.casts}
        return "float32" in widened and "float32" not in self.dtypes_in and "float32" not in self.dtypes_out


@dataclass(frozen=True)
class OutsideCast:
    """A cast outside every module, in the code that calls them. before: the index of the next module call."""

    before: int
    cast: Cast


@dataclass(frozen=True)
class FailureSite:
    """Where a run failed: the operation, the module whose code ran it, the operands; empty if that was not observed."""

    module: str | None = None
    operation: str | None = None
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class DtypeFlow:
    """A run's module calls in the order in which they began.

    error: the last line of the error that ended the run, if any; `clash` is where it arose. outside: casts between
    the modules.
    """

    calls: tuple[ModuleCall, ...]
    error: str | None = None
    truncated: bool = False
    clash: FailureSite | None = None
    outside: tuple[OutsideCast, ...] = ()

    def rows(self) -> tuple[ModuleCall, ...]:
        """The calls with equal calls of a module merged into one row, in order of first appearance.

        Calls are equal if their floating-point types and casts are: a mask that only the prefill has is ignored.
        """
        merged: dict[tuple[Any, ...], ModuleCall] = {}
        for call in self.calls:
            casts = tuple(replace(cast, count=1) for cast in call.casts)
            key = (call.name, call.floats_in, call.floats_out, casts, call.failed)
            merged[key] = _merge(merged[key], call) if key in merged else call
        return tuple(merged.values())

    def first_non_finite(self) -> ModuleCall | None:
        """The first call to return NaN or infinity; None without one, or if values were not recorded."""
        non_finite = [call for call in self.calls if call.non_finite]
        # A module returns after its submodules: of those that return first, the deepest produced the value.
        return min(non_finite, key=lambda call: (self._last_inside(call), -call.depth), default=None)

    def _last_inside(self, outer: ModuleCall) -> int:
        """The index of the last call inside `outer`; its own without any."""
        inside = takewhile(lambda call: call.depth > outer.depth, self.calls[outer.index + 1 :])
        return max((call.index for call in inside), default=outer.index)


def _merge(row: ModuleCall, call: ModuleCall) -> ModuleCall:
    return replace(
        row,
        calls=row.calls + call.calls,
        max_abs=max((v for v in (row.max_abs, call.max_abs) if v is not None), default=None),
        non_finite=None if row.non_finite is None else row.non_finite + (call.non_finite or 0),
    )


@dataclass(frozen=True)
class Tracing:
    """A traced run is in progress."""


@dataclass(frozen=True)
class Traced:
    """The last event of a traced run. half: the run's 16-bit dtype; weights_dtype: the dtype of the loaded weights."""

    strategy: str
    half: str
    model: str
    device: str
    weights_dtype: str
    flow: DtypeFlow


def flow_as_json(flow: DtypeFlow) -> dict[str, Any]:
    """`flow` in the field names that scripts rely on."""
    clash = flow.clash
    return {
        "error": flow.error,
        "truncated": flow.truncated,
        "clash": None if clash is None else {**vars(clash), "operands": operands_as_json(clash.operands)},
        "outside": [{"before": o.before, **_cast_as_json(o.cast)} for o in flow.outside],
        "calls": [
            {
                "index": call.index,
                "module": call.name,
                "class": call.class_name,
                "depth": call.depth,
                "dtypes_in": list(call.dtypes_in),
                "dtypes_out": list(call.dtypes_out),
                "dtypes_parameters": list(call.dtypes_parameters),
                "casts": [_cast_as_json(cast) for cast in call.casts],
                "island": call.is_island,
                "max_abs": call.max_abs,
                "non_finite": call.non_finite,
                "failed": call.failed,
            }
            for call in flow.calls
        ],
    }


def _cast_as_json(cast: Cast) -> dict[str, Any]:
    return {"operation": cast.operation, "from": cast.from_dtype, "to": cast.to_dtype, "count": cast.count}
