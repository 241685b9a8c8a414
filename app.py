"""Serve the XComposer precision lab: `python app.py`. Importing this file loads neither Gradio nor torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from xcomposer_ui.cli.serve import add_arguments, settings_from_arguments
from xcomposer_ui.core.errors import UserError

USERS_MISTAKE = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is interrupted, and return the exit status. A user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="app.py", description="Serve the XComposer precision lab.")
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    try:
        settings = settings_from_arguments(chosen)
        from xcomposer_ui.ui.serve import serve  # brings gradio

        serve(settings)
    except UserError as mistake:
        print(mistake, file=sys.stderr)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
