"""The command line: `python -m xcomposer_ui COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from xcomposer_ui import __version__
from xcomposer_ui.cli.output import note
from xcomposer_ui.core.errors import UserError

COMMANDS = ("run", "compare", "explain", "plan", "train", "check", "check-dtypes", "report", "trace", "lesson", "serve")
USERS_MISTAKE = 2


class _Parser(argparse.ArgumentParser):
    """Words a mistake in one line, as a UserError is; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USERS_MISTAKE, f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. The one place where the command line words the user's mistakes."""
    parser = _Parser(prog="xcomposer_ui", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    given = sys.argv[1:] if arguments is None else list(arguments)
    # The command that is named first, and no other: each module costs time at the start. Else all.
    for name in given[:1] if given and given[0] in COMMANDS else COMMANDS:
        module = import_module(f"xcomposer_ui.cli.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=module.HELP)
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    chosen, unknown = parser.parse_known_args(given)
    if unknown:  # argparse itself would point to the help of all commands
        commands.choices[chosen.command].error(f"unrecognized arguments: {' '.join(unknown)}")
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
