"""The command line: `python -m xcomposer_ui COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from xcomposer_ui import __version__
from xcomposer_ui.commands import check, check_dtypes, compare, explain, plan, report, run, serve, trace
from xcomposer_ui.commands.output import note
from xcomposer_ui.errors import UserError

COMMANDS = (run, compare, explain, plan, check, check_dtypes, report, trace, serve)
USERS_MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. The one place where the command line words the user's mistakes."""
    parser = argparse.ArgumentParser(prog="xcomposer_ui", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    chosen = parser.parse_args(arguments)
    try:
        status: int = chosen.execute(chosen)
    except UserError as mistake:
        note(str(mistake))
        return USERS_MISTAKE
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
