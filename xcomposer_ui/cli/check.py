"""`check`: whether the lab can run on this machine, and the consequences for each strategy.

Exit 0: no item is bad. 3: at least one is.
"""

from __future__ import annotations

import argparse

from xcomposer_ui.cli.output import FAILED, add_json_flag, show
from xcomposer_ui.planning.hardware import as_text, check_as_json, this_machine

HELP = "is this machine fit for the lab"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)


def execute(arguments: argparse.Namespace) -> int:
    found = this_machine()
    show(check_as_json(found), as_text(found), as_json=arguments.json)
    return 0 if found.ok else FAILED
