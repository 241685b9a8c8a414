"""`explain`: what a pasted error or traceback means.

Exit 0: recognised. 4: not recognised. 2: the user's mistake. Loads neither torch nor gradio.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.output import print_json
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES, text, worded
from xcomposer_ui.core.result import Explanation, explanation_as_json
from xcomposer_ui.explain import explain

NOT_RECOGNISED = 4
LONGEST_TEXT = 1_000_000
"""Characters read of a pasted log; an error stands at its end, which is what is kept."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser("explain", help="explain a pasted error message or traceback")
    parser.add_argument("file", nargs="?", metavar="FILE", help="a text file; without it, standard input")
    parser.add_argument("--lang", choices=LANGUAGES, default="en")
    parser.add_argument("--json", action="store_true", help="one JSON document as the last line of stdout")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    explanation = explain(pasted_text(arguments.file))
    if arguments.json:
        print_json(explanation_as_json(explanation, arguments.lang))
    else:
        print(as_text(explanation, arguments.lang))
    return 0 if explanation.recognised else NOT_RECOGNISED


def pasted_text(file: str | None) -> str:
    """The file's text, or standard input's. Raises UserError where the file cannot be read."""
    if file is None:
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise UserError("unreadable_text", file=Path(file).name, what=error.strerror or "") from error
    return data.decode("utf-8", errors="replace")[-LONGEST_TEXT:]


def as_text(explanation: Explanation, language: str = "en") -> str:
    """The explanation for the person at the terminal."""
    lines = [worded(explanation.title, language), "", worded(explanation.cause, language)]
    if explanation.where:
        lines += ["", worded(explanation.where, language)]
    if explanation.also:
        lines += ["", text("terminal.also", language), *(f"  {worded(title, language)}" for title in explanation.also)]
    if explanation.fixes:
        lines += ["", text("terminal.fixes", language)]
    for fix in explanation.fixes:
        verdict = text(f"terminal.cures.{str(fix.cures).lower()}", language)
        lines.append(f"  {fix.strategy:<9} {verdict} {worded(fix.why, language)}")
    lines += ["", *(f"{r.title}{': ' + r.url if r.url else ''}" for r in explanation.references)]
    return "\n".join(lines).rstrip()
