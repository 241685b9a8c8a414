"""`check`: is this machine fit for the lab, and what follows for each strategy.

Exit 0: nothing is wrong. 3: something is, and the items say what.
"""

from __future__ import annotations

import argparse
from typing import Any

from xcomposer_ui.cli.output import print_json
from xcomposer_ui.planning.hardware import as_text, check_as_json, this_machine

WRONG = 3


def add_to(commands: Any) -> None:
    parser = commands.add_parser("check", help="is this machine fit for the lab")
    parser.add_argument("--json", action="store_true", help="one JSON document as the last line of stdout")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    found = this_machine()
    if arguments.json:
        print_json(check_as_json(found))
    else:
        print(as_text(found))
    return 0 if found.ok else WRONG
