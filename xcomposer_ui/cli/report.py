"""`report`: a run or a comparison as Markdown, JSON, CSV or a Python script, or as a bug report for the model.

Reads the JSON of `run --json` or `compare --json` from a file or standard input; with --question, it compares first.
Exit 0: written. 2: the user's mistake.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.compare import add_compare_arguments, compared
from xcomposer_ui.cli.output import note
from xcomposer_ui.cli.request_arguments import runner_from
from xcomposer_ui.compare.bug_report import bug_report
from xcomposer_ui.compare.report import FORMATS, as_document
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.files import read_text, write_whole

HELP = "write down a run or a comparison, or a bug report from it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="JSON of run or compare; without it, standard input")
    add_compare_arguments(parser)
    parser.add_argument("--format", default="md", metavar="|".join(FORMATS), help="md is the default, py the script")
    parser.add_argument("--issue", action="store_true", help="the text of a bug report instead")
    parser.add_argument("--with-picture", action="store_true", help="put the picture itself in, when comparing")
    parser.add_argument("--output", metavar="FILE", help="without it, standard output")


def execute(arguments: argparse.Namespace) -> int:
    name = "json" if arguments.json else arguments.format
    if name not in FORMATS:
        raise UserError("unknown_format", name=name, known=", ".join(FORMATS))
    document = _document(arguments)
    text = bug_report(document) if arguments.issue else FORMATS[name](document)
    if arguments.output:
        write_whole(Path(arguments.output), text)
        note(arguments.output)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
    return 0


def _document(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.question:
        return compared(runner_from(arguments), arguments, with_picture=arguments.with_picture)[1]
    return as_document(_read(arguments.file))


def _read(file: str | None) -> object:
    """The JSON of the whole text, or of its last line. Raises UserError where there is none."""
    try:
        text = sys.stdin.read() if file is None else read_text(Path(file))
    except UnicodeDecodeError as error:
        raise UserError("no_report") from error
    for candidate in (text, text.strip().rpartition("\n")[2]):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    raise UserError("no_report")
