"""Serve the page without telemetry; the model is loaded once the page is up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import httpx
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import threads_in
from xcomposer_ui.core.settings import ASSETS, Settings
from xcomposer_ui.planning.fit import FitChecker
from xcomposer_ui.planning.hardware import as_text
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.runtime.pooled_runner import PooledRunner
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.example_gallery import examples_style
from xcomposer_ui.ui.examples import by_picture, examples
from xcomposer_ui.ui.gradio_sessions import current_session
from xcomposer_ui.ui.guard import Guard
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.layout import build_app
from xcomposer_ui.ui.page_scripts import head
from xcomposer_ui.ui.preflight import EndablePlans
from xcomposer_ui.ui.run_tab import MOST_COMPUTING
from xcomposer_ui.ui.theme import theme
from xcomposer_ui.ui.uploads import delete_uploads, own_upload_folder
from xcomposer_ui.ui.views.notices import does_not_fit_sentences

STYLE = ASSETS / "style.css"
MOST_WAITING = 256
"""Events in Gradio's own queues, such as predictions of ended runs. Those of the model have a limit before that."""

THREADS = MOST_COMPUTING + 32
"""Each call that runs, or waits for the model, has a thread; the rest is for all other events."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

LARGEST_UPLOAD = "50mb"

EVENT_RECORDS = "100"
"""How many events Gradio keeps a record of, for a page of statistics that is not served; 10,000 by its own choice."""


def serve(settings: Settings) -> None:
    """Serve the page until the process is interrupted.

    Raises UserError where its port is taken or its own address cannot be reached, or as PooledRunner.
    """
    _check_port(settings.host, settings.port)
    if settings.workers:
        runner: Runner = PooledRunner(settings, settings.workers, visitor=current_session)
    else:
        runner = Runner(settings, visitor=current_session)
    plans = PlannerProcess(
        card=runner.memory_budget if settings.on_zero_gpu else None,
        threads=lambda: threads_in(runner.status().reasons),
    )
    if settings.on_zero_gpu:
        _place(runner)
    _except_loopback_from_proxies()
    try:
        with _own_address_reached():
            app, address, _ = launch(settings, runner, plans)
        print(f"The lab is at {address}", flush=True)
        threading.Thread(target=_warm_up, args=(runner, plans), name="warm-up", daemon=True).start()
        with _ended_by_sigterm(plans.close, runner.close):
            app.block_thread()
    finally:
        runner.close()


def launch(
    settings: Settings, runner: Runner, plans: EndablePlans | None = None, **more: Any
) -> tuple[gr.Blocks, str, Any]:
    """Serve the page in a thread; return (the app, its address, the server). more: arguments of Gradio's `launch`."""
    own_upload_folder()
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", EVENT_RECORDS)
    app, i18n = build_app(settings, runner, plans)
    app.queue(max_size=MOST_WAITING)
    server, address, _ = app.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        theme=theme(),
        css_paths=[STYLE, ASSETS / "learn.css"],
        head=head() + examples_style(list(by_picture(examples()))) + str(render("narrow_style") + render("skeleton")),
        i18n=i18n,
        share=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        max_threads=THREADS,
        footer_links=["api"],
        # Gradio compresses its files alone.
        app_kwargs={"middleware": [Middleware(GZipMiddleware, minimum_size=1000), Middleware(Guard)]},
        prevent_thread_lock=True,
        quiet=True,
        **more,
    )
    return app, address, server


@contextlib.contextmanager
def _ended_by_sigterm(*closing: Callable[[], object]) -> Iterator[None]:
    """A context in which SIGTERM ends the process at once, whatever runs and whoever is connected, after `closing`.

    An orderly end would wait for every open page.
    """

    def end(*_: object) -> None:
        for close in (*closing, delete_uploads):
            close()
        os._exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_port(host: str, port: int) -> None:
    # Gradio reports it only after the app is built, with a hint at its own environment variables.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError("port_taken", host=host, port=port, reason=error.strerror) from None


def _except_loopback_from_proxies() -> None:
    """Let this process reach itself although its environment names a proxy: Gradio asks its own address at launch."""
    proxies = urllib.request.getproxies_environment()
    if proxies:  # without a variable, NO_PROXY would hide the proxies of the system's settings
        hosts = ",".join(filter(None, (proxies.get("no"), *LOOPBACK)))
        os.environ.update(no_proxy=hosts, NO_PROXY=hosts)


@contextlib.contextmanager
def _own_address_reached() -> Iterator[None]:
    """A context in which Gradio's failure to reach its own address is a UserError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, httpx.HTTPError) and "proxy settings" not in str(error):
            raise
        raise UserError("own_address", reason=str(error)) from error


def _place(runner: Runner) -> None:
    """Load the model onto ZeroGPU's emulated card, before the page is launched."""
    try:
        runner.place()
    except UserError as error:  # as in `_warm_up`
        print(error, file=sys.stderr)


def _warm_up(runner: Runner, plans: PlannerProcess) -> None:
    """Print the check of this machine, and load the model if a short question about it fits."""
    print(as_text(runner.machine.check()), flush=True)
    try:
        runner.open()
        query = runner.resolved(Request("What is this?")).memory_query()
        for misfit in FitChecker(plans, runner.memory_budget).misfits([query]):
            sentences = [*does_not_fit_sentences(misfit, "en"), "It is loaded when somebody starts a run in any case."]
            print("\n".join(sentences), file=sys.stderr)
            return
        runner.warm_up()
        plans.start()
    except UserError as error:
        # The page shows the same at the first run; this is for the person who started the lab.
        print(error, file=sys.stderr)
