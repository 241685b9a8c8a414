"""`serve`: serves the page until interrupted. `python app.py` has the same flags. Exit 2: the user's mistake."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xcomposer_ui.core.settings import Settings, options_of, settings_from

HELP = "serve the page"


def add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add the flags of the options `names`. They have no defaults: `settings_from` takes missing options elsewhere."""
    options = {option.name: option for option in options_of(Settings)}
    for name in names:
        option = options[name]
        parser.add_argument(
            option.flag, dest=name, metavar=option.metavar, help=f"{option.help} [{option.variable}]",
            type=int if name in ("port", "workers") else str,
        )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, [option.name for option in options_of(Settings)])


def settings_from_arguments(arguments: argparse.Namespace) -> Settings:
    """Settings from the flags, then the environment. Raises UserError as `settings_from` does."""
    return settings_from(**{option.name: getattr(arguments, option.name, None) for option in options_of(Settings)})


def execute(arguments: argparse.Namespace) -> int:
    settings = settings_from_arguments(arguments)
    from xcomposer_ui.ui.serve import serve  # imports gradio, which the other commands do not need

    serve(settings)
    return 0
