"""`trace`: the dtypes of one run, module by module; with --against, side by side with another strategy's.

Exit 0: the run answered. 3: it failed; its flow ends at the failure. 2: the user's mistake.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from xcomposer_ui.cli.output import FAILED, note, show
from xcomposer_ui.cli.request_arguments import (
    add_request_arguments,
    refuse_what_does_not_fit,
    request_given,
    runner_from,
)
from xcomposer_ui.core.errors import check_range
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES, strategy_named
from xcomposer_ui.runtime.runner import TRACED_TOKENS, Runner
from xcomposer_ui.tracing.dtype_flow import Traced, flow_as_json
from xcomposer_ui.tracing.dtype_path import PathStep, path, paths_aligned, step_as_json

DEEPEST = 99
"""Deeper than the modules of any model are nested."""

BETWEEN = {
    "pixels": "(pixels)",
    "prompt": "(prompt: text and picture together)",
    "choice": "(choice of the token)",
    "module": "(between modules)",
}


HELP = "follow the dtypes of one run, module by module"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_request_arguments(parser, question_required=True)
    names = "|".join(STRATEGIES)
    parser.add_argument("--strategy", required=True, metavar=names, help="how dtypes are handled")
    parser.add_argument("--against", metavar=names, help="trace this strategy too, side by side")
    parser.add_argument(
        "--depth", type=int, default=1, metavar="N", help="of the table: 0 stages, 1 their parts (default), …"
    )


def execute(arguments: argparse.Namespace) -> int:
    for name in filter(None, (arguments.strategy, arguments.against)):
        strategy_named(name)  # before anything is loaded
    check_range("--depth", arguments.depth, 0, DEEPEST)
    runner = runner_from(arguments)
    request = request_given(arguments, strategy=arguments.strategy)
    against = replace(request, strategy=arguments.against) if arguments.against else None
    short = [replace(one, max_new_tokens=TRACED_TOKENS) for one in (request, against) if one is not None]
    refuse_what_does_not_fit(runner, arguments, [runner.resolved(one).memory_query() for one in short])
    traced = traced_run(runner, request)
    other = None if against is None else traced_run(runner, against)
    shown = as_text(traced, arguments.depth) if other is None else side_by_side(traced, other, arguments.depth)
    show(traced_as_json(traced, other), shown, as_json=arguments.json)
    return 0 if traced.flow.error is None else FAILED


def traced_run(runner: Runner, request: Request) -> Traced:
    """The traced run, with progress on stderr."""
    note(f"tracing {request.strategy}")
    for event in runner.trace(request):
        if isinstance(event, Traced):
            return event
    raise AssertionError("a traced run ended without its Traced event")


def traced_as_json(traced: Traced, other: Traced | None) -> dict[str, Any]:
    """The flow in the field names that scripts rely on; with `other`, also `against` and `aligned`."""
    document = _as_json(traced)
    if other is not None:
        document["against"] = _as_json(other)
        document["aligned"] = [
            {
                "stage": (left or right).stage,  # type: ignore[union-attr]  # one of the two is there
                "module": (left or right).name or None,  # type: ignore[union-attr]
                "left": None if left is None else step_as_json(left),
                "right": None if right is None else step_as_json(right),
            }
            for left, right in paths_aligned(traced.flow, other.flow)
        ]
    return document


def _as_json(traced: Traced) -> dict[str, Any]:
    return {
        "strategy": traced.strategy,
        "half": traced.half,
        "model": traced.model,
        "device": traced.device,
        "weights_dtype": traced.weights_dtype,
        "decoder": "eager",  # whatever runs take: a recorded step calls no module that could be watched
        "path": [step_as_json(step) for step in path(traced.flow)],
        **flow_as_json(traced.flow),
    }


def as_text(traced: Traced, depth: int) -> str:
    steps = [step for step in path(traced.flow) if step.level <= depth or step.failed]
    rows = [
        (_name(step), _list(step.dtypes_in), _list(step.dtypes_parameters), _out(step), marks(step)) for step in steps
    ]
    return "\n".join([*_table([("module", "in", "weights", "out", ""), *rows]), *_ending(traced)])


def side_by_side(left: Traced, right: Traced, depth: int) -> str:
    """Both paths in one table, one row per module."""
    rows: list[tuple[str, ...]] = [("module", left.strategy, "", right.strategy, "")]
    for one, two in paths_aligned(left.flow, right.flow):
        shown = one or two
        assert shown is not None
        if shown.level <= depth or any(step is not None and step.failed for step in (one, two)):
            rows.append((_name(shown), _way(one), marks(one), _way(two), marks(two)))
    return "\n".join([*_table(rows), *_ending(left), *_ending(right)])


def marks(step: PathStep | None) -> str:
    """The casts, float32 islands and failure of the step, as text."""
    if step is None:
        return ""
    found = [f"{cast.from_dtype} to {cast.to_dtype} ({cast.operation})" for cast in step.casts]
    if step.is_island:
        found = ["float32 island", *found]
    if step.failed:
        found = ["FAILED", *found]
    if step.islands:
        found.append(f"{step.islands} float32 islands inside")
    return ", ".join(found)


def _name(step: PathStep) -> str:
    return "  " * step.level + (step.name or BETWEEN[step.stage])


def _way(step: PathStep | None) -> str:
    return "—" if step is None else f"{_list(step.dtypes_in)} → {_out(step)}"


def _out(step: PathStep) -> str:
    return "✕" if step.failed else _list(step.dtypes_out)


def _list(dtypes: tuple[str, ...]) -> str:
    return ", ".join(dtypes) or "—"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _ending(traced: Traced) -> list[str]:
    """The message and the operands of the run's failure; [] where it did not fail."""
    flow = traced.flow
    if flow.error is None:
        return []
    lines = ["", f"{traced.strategy}: {flow.error}"]
    if flow.clash is not None:
        lines.append(f"at {flow.clash.module} ({flow.clash.operation})")
        lines += [f"  {o.name}: {o.dtype} {list(o.shape)}, {o.recorded_origin}" for o in flow.clash.operands]
    return lines
