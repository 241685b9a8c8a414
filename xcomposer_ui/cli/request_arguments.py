"""Flags, request and memory check of the commands that run a request."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xcomposer_ui.cli.output import add_json_flag
from xcomposer_ui.cli.serve import add_options, settings_from_arguments
from xcomposer_ui.core.request import MemoryRequest, Request, settings_of
from xcomposer_ui.planning.fit import FitChecker, MemoryBudget, refuse_unless_fits
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.runtime.runner import Runner


def add_request_arguments(
    parser: argparse.ArgumentParser, *, question_required: bool = False, record: type[Request] = Request
) -> None:
    """A request's flags: the question with its picture, the lab's options, and each setting of `record`."""
    parser.add_argument("--image", metavar="FILE", help="a PNG, JPEG, WEBP, BMP or GIF; without it, text only")
    parser.add_argument("--question", required=question_required, metavar="TEXT")
    add_options(parser, ("half", "model", "device", "decoder"))
    add_settings(parser, record)
    parser.add_argument(
        "--anyway", action="store_true", help="start runs that do not fit into memory according to their plan"
    )
    add_json_flag(parser)


def add_settings(parser: argparse.ArgumentParser, record: type) -> None:
    for s in settings_of(record, flagged=True):
        metavar = "N" if s.kind is int else "X"
        shown = s.help if s.default is None else f"{s.help} (default {s.default:g})".lstrip()
        parser.add_argument(str(s.flag), dest=s.name, type=s.kind, default=s.default, metavar=metavar, help=shown)


def runner_from(arguments: argparse.Namespace) -> Runner:
    """A runner with the options of the command line, then of the environment."""
    return Runner(settings_from_arguments(arguments))


def settings_given(arguments: argparse.Namespace, record: type = Request) -> dict[str, Any]:
    """The settings of `record` on the command line, by name."""
    return {s.name: getattr(arguments, s.name) for s in settings_of(record, flagged=True)}


def request_given(arguments: argparse.Namespace, **fields: Any) -> Request:
    """The request on the command line, with `fields`. Raises UserError where the picture or a value is invalid."""
    from xcomposer_ui.core.images import open_picture  # imports Pillow, which `explain` does not wait for

    image = open_picture(arguments.image) if arguments.image else None
    return Request(arguments.question, image, file=arguments.image or None, **settings_given(arguments), **fields)


def refuse_what_does_not_fit(runner: Runner, arguments: argparse.Namespace, runs: Sequence[MemoryRequest]) -> None:
    """Raise UserError where some of `runs` will not fit into memory, unless --anyway was given.

    Workers on this machine's CPU share its memory. What another machine has is not known here: nothing is refused.
    Starts the planning process only where the sizes of the model's files do not show that it fits.
    """
    if arguments.anyway or getattr(arguments, "ray", None):
        return
    runner.open()
    workers = getattr(arguments, "workers", None) or 1

    def budget() -> MemoryBudget | None:
        whole = runner.memory_budget()
        if whole is None or whole.device != "cpu":
            return whole
        return replace(whole, bytes=whole.bytes // workers)

    plans = PlannerProcess()
    try:
        refuse_unless_fits(FitChecker(plans, budget), runs)
    finally:
        plans.close()
