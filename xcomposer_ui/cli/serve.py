"""`serve`: the page, until it is interrupted; its flags, which `python app.py` shares. Exit 2: the user's mistake."""

from __future__ import annotations

import argparse
from typing import Any

from xcomposer_ui.core.settings import DEVICES, HALVES, LANGUAGE_CHOICES, Settings, settings_from


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags. None has a default here: what is not given, `settings_from` takes from the environment."""
    parser.add_argument("--model", metavar="PATH_OR_ID", help="“embedded”, a folder, or a hub id [XCOMPOSER_MODEL]")
    parser.add_argument("--device", metavar="|".join(DEVICES), help="where the model computes [XCOMPOSER_DEVICE]")
    parser.add_argument("--half", metavar="|".join(HALVES), help="the 16-bit type in play [XCOMPOSER_HALF]")
    parser.add_argument("--lang", metavar="|".join(LANGUAGE_CHOICES), help="the page's language [XCOMPOSER_LANG]")
    parser.add_argument("--host", help="address to listen on; this machine alone if not given [GRADIO_SERVER_NAME]")
    parser.add_argument("--port", type=int, metavar="N", help="7860 if not given [GRADIO_SERVER_PORT]")


def settings_from_arguments(arguments: argparse.Namespace) -> Settings:
    """Settings from flags that `add_serve_arguments` added, then the environment. Raises UserError as they do."""
    return settings_from(
        model=arguments.model,
        device=arguments.device,
        half=arguments.half,
        language=arguments.lang,
        host=arguments.host,
        port=arguments.port,
    )


def add_to(commands: Any) -> None:
    parser = commands.add_parser("serve", help="serve the page")
    add_serve_arguments(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    settings = settings_from_arguments(arguments)
    from xcomposer_ui.ui.serve import serve  # brings gradio, which the other commands do without

    serve(settings)
    return 0
