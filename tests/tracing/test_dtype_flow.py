"""The flow's records: rows, alignment, JSON."""

from __future__ import annotations

import json
from typing import Any

from xcomposer_ui.tracing.dtype_flow import Cast, DtypeFlow, ModuleCall, flow_as_json
from xcomposer_ui.tracing.dtype_path import paired

HALF, FULL = ("float16",), ("float32",)


def call(index: int, name: str, depth: int = 0, **changes: Any) -> ModuleCall:
    return ModuleCall(
        **{
            "index": index,
            "name": name,
            "class_name": "Linear",
            "depth": depth,
            "dtypes_in": HALF,
            "dtypes_out": HALF,
            "dtypes_parameters": HALF,
            **changes,
        }
    )


def test_equal_calls_become_one_row_with_a_count_and_the_largest_value() -> None:
    flow = DtypeFlow((call(0, "a", max_abs=1.0, non_finite=0), call(1, "b"), call(2, "a", max_abs=3.0, non_finite=2)))
    first, second = flow.rows()
    assert (first.name, first.calls, first.max_abs, first.non_finite) == ("a", 2, 3.0, 2)
    assert (second.name, second.calls, second.max_abs) == ("b", 1, None)


def test_a_module_that_takes_two_ways_has_two_rows() -> None:
    assert len(DtypeFlow((call(0, "a"), call(1, "a", dtypes_in=FULL))).rows()) == 2


def test_an_island_widens_inside_and_gives_half_back() -> None:
    there, back = Cast("aten._to_copy", "float16", "float32"), Cast("aten._to_copy", "float32", "float16")
    assert call(0, "norm", casts=(there, back)).is_island
    assert not call(0, "tower", dtypes_in=FULL, dtypes_out=FULL, casts=(back, there)).is_island
    assert not call(0, "linear").is_island


def test_the_first_non_finite_call_is_the_innermost_that_ended_so() -> None:
    flow = DtypeFlow(
        (
            call(0, "block", 0, non_finite=4),
            call(1, "block.norm", 1, non_finite=0),
            call(2, "block.mlp", 1, non_finite=4),
            call(3, "block.mlp.down", 2, non_finite=4),
            call(4, "head", 0, non_finite=9),
        )
    )
    first = flow.first_non_finite()
    assert first is not None
    assert first.name == "block.mlp.down"
    assert DtypeFlow((call(0, "a", non_finite=0),)).first_non_finite() is None


def test_two_flows_stand_side_by_side_by_module() -> None:
    left = DtypeFlow((call(0, "tower"), call(1, "projector", failed=True)))
    right = DtypeFlow((call(0, "tower", dtypes_in=FULL), call(1, "projector"), call(2, "head")))
    pairs = [
        (a.name if a else None, b.name if b else None)
        for a, b in paired(left.rows(), right.rows(), lambda row: row.name)
    ]
    assert pairs == [("tower", "tower"), ("projector", "projector"), (None, "head")]


def test_the_json_has_every_call_and_survives_a_round_trip() -> None:
    flow = DtypeFlow((call(0, "a", casts=(Cast("autocast", "float32", "float16", 3),), failed=True),), error="no")
    document = json.loads(json.dumps(flow_as_json(flow)))
    assert document["error"] == "no"
    assert document["calls"] == [
        {
            "index": 0,
            "module": "a",
            "class": "Linear",
            "depth": 0,
            "dtypes_in": ["float16"],
            "dtypes_out": ["float16"],
            "dtypes_parameters": ["float16"],
            "casts": [{"operation": "autocast", "from": "float32", "to": "float16", "count": 3}],
            "island": False,
            "max_abs": None,
            "non_finite": None,
            "failed": True,
        }
    ]
