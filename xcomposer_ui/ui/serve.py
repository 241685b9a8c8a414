"""Serves the page: everything that phones home is off, and the model loads once the page is up."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import Any

import gradio as gr

from xcomposer_ui.errors import UserError
from xcomposer_ui.runner import Runner
from xcomposer_ui.settings import ASSETS, Settings
from xcomposer_ui.ui.layout import build_app
from xcomposer_ui.ui.theme import COPY_SCRIPT, theme

STYLE = ASSETS / "style.css"
MOST_WAITING = 32
LARGEST_UPLOAD = "50mb"


def serve(settings: Settings) -> None:
    """Serve the page until the process is told to end. Raises UserError where its port is taken."""
    _check_port(settings.host, settings.port)
    runner = Runner(settings)
    app, address, _ = launch(settings, runner)
    print(f"The lab is at {address}", flush=True)
    threading.Thread(target=_warm_up, args=(runner,), name="warm-up", daemon=True).start()
    app.block_thread()


def launch(settings: Settings, runner: Runner, **more: Any) -> tuple[gr.Blocks, str, Any]:
    """Put the page up and come back: (the app, its address, the thread's server). `more` goes to Gradio's launch."""
    app, i18n = build_app(settings, runner)
    app.queue(max_size=MOST_WAITING)
    server, address, _ = app.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        theme=theme(),
        css_paths=Path(STYLE),
        head=COPY_SCRIPT,
        i18n=i18n,
        share=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        footer_links=["api"],
        prevent_thread_lock=True,
        quiet=True,
        **more,
    )
    return app, address, server


def _check_port(host: str, port: int) -> None:
    # Gradio would say so after the app is built, with a hint about its own environment variables.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError("port_taken", host=host, port=port, reason=error.strerror) from None


def _warm_up(runner: Runner) -> None:
    try:
        runner.warm_up()
    except UserError as error:
        # The page says the same at the first run; here it tells whoever started the lab.
        print(error, file=sys.stderr)
