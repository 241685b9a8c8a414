"""`check`: whether the lab can run on this machine, and the consequences for each strategy.

Exit 0: no item is bad. 3: at least one is.
"""

from __future__ import annotations

import argparse
from typing import Any

from xcomposer_ui.cli.output import FAILED, add_json_flag, show
from xcomposer_ui.planning.hardware import as_text, check_as_json, this_machine


def add_to(commands: Any) -> None:
    parser = commands.add_parser("check", help="is this machine fit for the lab")
    add_json_flag(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    found = this_machine()
    show(check_as_json(found), as_text(found), as_json=arguments.json)
    return 0 if found.ok else FAILED
