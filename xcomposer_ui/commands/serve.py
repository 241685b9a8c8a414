"""`serve`: the page, until it is interrupted. Exit 2: the user's mistake."""

from __future__ import annotations

import argparse
from typing import Any

from xcomposer_ui.serve_arguments import add_serve_arguments, settings_from_arguments


def add_to(commands: Any) -> None:
    parser = commands.add_parser("serve", help="serve the page")
    add_serve_arguments(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    settings = settings_from_arguments(arguments)
    from xcomposer_ui.ui.serve import serve  # brings gradio, which the other commands do without

    serve(settings)
    return 0
