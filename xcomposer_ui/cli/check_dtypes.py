"""`check-dtypes`: at which boundaries of an image-text model dtypes will clash, under each strategy, before a run.

Exit 0: no strategy clashes. 3: some do. 4: no tiny model of the architecture can be built, so nothing is known.
2: the user's mistake.
"""

from __future__ import annotations

import argparse

from xcomposer_ui.cli.output import FAILED, UNKNOWN, add_json_flag, note, print_json, show
from xcomposer_ui.core.strategies import HALF_DTYPES, checked_half
from xcomposer_ui.tracing.lint import Boundary, Lint, LintCase, lint_as_json

BOTH = "both"


HELP = "will this transformers model's dtypes clash, and where"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="FOLDER_OR_CLASS",
        help="a folder with a config.json, or a class: LlavaForConditionalGeneration",
    )
    parser.add_argument("--half", default=BOTH, metavar=f"{'|'.join(HALF_DTYPES)}|{BOTH}", help="the 16-bit type")
    add_json_flag(parser)


def execute(arguments: argparse.Namespace) -> int:
    halves = HALF_DTYPES if arguments.half == BOTH else (checked_half(arguments.half),)
    from xcomposer_ui.backends.lint import lint  # imports torch
    from xcomposer_ui.backends.tiny_models.build import NoTinyModelError

    try:
        found = lint(arguments.model, halves)
    except NoTinyModelError as error:
        reason = str(error).rstrip(".")
        if arguments.json:
            print_json({"ok": None, "model": arguments.model, "reason": reason})
        note(f"Nothing is known of {arguments.model}: {reason}.")
        return UNKNOWN
    show(lint_as_json(found), as_text(found), as_json=arguments.json)
    return 0 if found.ok else FAILED


def as_text(found: Lint) -> str:
    lines = [
        f"{found.model_class}, as a twin of {found.parameters:,} parameters: few layers stand for all of their kind",
        "",
    ]
    for case in found.cases:
        lines.append(f"{case.strategy:<9} {case.half:<9} {_verdict(case)}")
        lines += [line for boundary in case.boundaries for line in _boundary(boundary)]
        if case.stopped_by is not None:
            lines.append(f"    stops with {case.stopped_by}")
    return "\n".join(lines)


def _verdict(case: LintCase) -> str:
    if case.clean:
        return "clean"
    count = len(case.boundaries)
    return f"{count} boundar{'y' if count == 1 else 'ies'} clash{'es' if count == 1 else ''}" if count else "fails"


def _boundary(boundary: Boundary) -> list[str]:
    lines = [f"    {boundary.module or 'outside the modules'} ({boundary.operation}): {boundary.message}"]
    for operand in boundary.operands:
        if operand.dtype in boundary.dtypes:
            lines.append(f"        {operand.dtype:<9} {operand.name}, {operand.recorded_origin}")
    return lines
