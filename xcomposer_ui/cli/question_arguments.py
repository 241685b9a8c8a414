"""What the commands that ask a question have in common: their arguments, the question, and whether it fits here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from xcomposer_ui.core.request import Question
from xcomposer_ui.core.settings import DEVICES, HALVES
from xcomposer_ui.planning.fit import FitChecker, MemoryRequest, refuse_unless_fits
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.runtime.runner import Runner

SETTINGS = ("max_new_tokens", "temperature", "seed", "hd_num")
"""A question's settings that have a flag."""


def add_question_arguments(parser: argparse.ArgumentParser, *, question_required: bool = True) -> None:
    """A question's flags."""
    parser.add_argument("--image", metavar="FILE", help="a PNG, JPEG, WEBP, BMP or GIF; without it, text only")
    parser.add_argument("--question", required=question_required, metavar="TEXT")
    parser.add_argument("--half", metavar="|".join(HALVES), help="the 16-bit type")
    parser.add_argument("--model", metavar="PATH_OR_ID", help="“embedded”, a folder, or a hub id")
    parser.add_argument("--device", metavar="|".join(DEVICES))
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N")
    parser.add_argument("--hd-num", type=int, metavar="N", help="most tiles of the picture (tiled members only)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="X", help="0, the default, is greedy")
    parser.add_argument("--anyway", action="store_true", help="start what by its plan will not fit into memory")
    parser.add_argument("--json", action="store_true", help="one JSON document as the last line of stdout")


def asked_question(arguments: argparse.Namespace) -> Question:
    """The question on the command line. Raises UserError where the picture is none."""
    from xcomposer_ui.core.images import open_picture  # brings Pillow, which `explain` need not wait for

    image = open_picture(arguments.image) if arguments.image else None
    return Question(arguments.question, image, **asked_settings(arguments))


def asked_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings on the command line, by the names of `Question`."""
    return {name: getattr(arguments, name) for name in SETTINGS}


def settings_told(arguments: argparse.Namespace) -> dict[str, Any]:
    """As `asked_settings`, for a batch's records; hd_num only where one was asked for: older records have none."""
    found = asked_settings(arguments)
    return {name: value for name, value in found.items() if name != "hd_num" or value is not None}


def refuse_what_does_not_fit(runner: Runner, arguments: argparse.Namespace, wanted: Sequence[MemoryRequest]) -> None:
    """Raise UserError where some of `wanted` will not fit here, unless --anyway was given.

    A process that plans is started only where the model's files do not tell at once that it fits.
    """
    if arguments.anyway:
        return
    runner.open()
    plans = PlannerProcess()
    try:
        refuse_unless_fits(FitChecker(plans, runner.room), wanted)
    finally:
        plans.close()
