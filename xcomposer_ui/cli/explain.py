"""`explain`: the explanation of a pasted error or traceback.

Exit 0: recognised. 4: not recognised. 2: the user's mistake. Loads neither torch nor gradio.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from textwrap import indent

from xcomposer_ui.cli.output import UNKNOWN, add_json_flag, show
from xcomposer_ui.core.files import read_text
from xcomposer_ui.core.messages import LANGUAGES, text, worded
from xcomposer_ui.core.result import Explanation, explanation_as_json
from xcomposer_ui.explain import explain

LONGEST_TEXT = 1_000_000
"""Characters, the last ones of a pasted log, because the error is at its end."""


HELP = "explain a pasted error message or traceback"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a text file; without it, standard input")
    parser.add_argument("--lang", choices=LANGUAGES, default="en")
    add_json_flag(parser)


def execute(arguments: argparse.Namespace) -> int:
    explanation = explain(pasted_text(arguments.file))
    document, shown = explanation_as_json(explanation, arguments.lang), as_text(explanation, arguments.lang)
    show(document, shown, as_json=arguments.json)
    return 0 if explanation.recognised else UNKNOWN


def pasted_text(file: str | None) -> str:
    """The file's text, or standard input's. Raises UserError where the file cannot be read."""
    if file is not None:
        return read_text(Path(file), errors="replace", newline="")[-LONGEST_TEXT:]
    return sys.stdin.buffer.read().decode("utf-8", errors="replace")[-LONGEST_TEXT:]


def as_text(explanation: Explanation, language: str = "en") -> str:
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
        if fix.code:
            lines += ["", indent(fix.code, "      ")]
    lines += ["", *(f"{r.title}{': ' + r.url if r.url else ''}" for r in explanation.references)]
    return "\n".join(lines).rstrip()
