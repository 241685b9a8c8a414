"""A real browser on the real page. Every page fails its test on a script error or a request that leaves the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.checkpoints import write_checkpoint
from tests.planning.scripted import ScriptedPlans
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.settings import EMBEDDED_PATH, Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.serve import launch

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""What Debian, Ubuntu and Google call it, in the order in which they are looked for on the path."""

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
expect.set_options(timeout=60_000)  # a busy machine is not a failure
LOCAL = {"127.0.0.1", "localhost", ""}

LEAVES = "leaves the page"
GIVEN_UP = ("AbortError: signal is aborted", "Unexpected error Connection errored out")
"""What Gradio's client logs about the events under way when their page is left."""

Serve = Callable[..., str]
Open = Callable[..., Page]


def chromium() -> str | None:
    """The browser's program; None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = chromium()
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(CHROMIUMS)} is on the path")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield started
        started.close()


@dataclass(frozen=True)
class Lab:
    """address: where the page is. runner: what answers there."""

    address: str
    runner: ScriptedRunner


@pytest.fixture(scope="module")
def scripted_lab(serve: Serve) -> Lab:
    runner = ScriptedRunner()
    return Lab(serve(runner), runner)


@pytest.fixture
def lab(scripted_lab: Lab) -> Lab:
    """The page with its runner as new: one server is enough for a file."""
    scripted_lab.runner.reset()
    return scripted_lab


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve the page with a runner; the address."""
    apps = []

    def served(
        runner: Runner | ScriptedRunner, settings: Settings | None = None, plans: ScriptedPlans | None = None
    ) -> str:
        if plans is None and isinstance(runner, ScriptedRunner):
            plans = ScriptedPlans()
        app, address, _ = launch(settings or Settings(port=0), runner, plans)  # type: ignore[arg-type]  # the double fits
        apps.append(app)
        return address

    yield served
    for app in apps:
        app.close()


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A window for each set of options, kept for the session: its cache spares loading the page's scripts anew."""
    kept: dict[str, BrowserContext] = {}

    def window(**options: Any) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in kept:
            kept[key] = browser.new_context(**options)
            kept[key].set_default_timeout(90_000)  # a busy machine is not a failure
        return kept[key]

    yield window
    for context in kept.values():
        context.close()


@pytest.fixture
def open_page(windows: Callable[..., BrowserContext]) -> Iterator[Open]:
    """Open an address; at the end of the test no page may have complained."""
    pages: list[Page] = []
    left: set[Page | None] = set()
    complaints: list[str] = []

    def told(message: ConsoleMessage) -> None:
        if message.text == LEAVES:
            left.add(message.page)
        elif message.type == "error" and not (message.page in left and message.text.startswith(GIVEN_UP)):
            complaints.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if (urlsplit(request.url).hostname or "") not in LOCAL:
            complaints.append(f"outside request: {request.url}")

    def opened(address: str, **options: Any) -> Page:
        usual = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        page = windows(**usual | options).new_page()
        pages.append(page)
        # The window's pages share what the browser keeps; each begins with nothing, and keeps its own at a reload.
        page.add_init_script("if (!sessionStorage.visit) { localStorage.clear(); sessionStorage.visit = 1; }")
        page.add_init_script(f"addEventListener('beforeunload', () => console.debug('{LEAVES}'))")
        page.on("domcontentloaded", lambda loaded: left.discard(loaded))
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on("console", told)
        page.on("request", asked)
        # The load event's answer, which puts every view into its language: what a test does before it would be undone.
        # Of the events at a page's start it alone tells the browser's language.
        language = f'["{(usual | options)["locale"]}",'
        with page.expect_response(lambda response: language in (response.request.post_data or "")):
            page.goto(address)
        page.locator("#run").wait_for(state="attached")  # another tab may be open
        return page

    yield opened
    for page in pages:
        page.close()
    assert not complaints


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A red circle and a blue square on a light ground."""
    drawn = Image.new("RGB", (320, 240), "#e9e2d0")
    draw = ImageDraw.Draw(drawn)
    draw.ellipse((40, 40, 110, 110), fill="#d62828")
    draw.rectangle((190, 120, 260, 190), fill="#1d5fd1")
    path = tmp_path_factory.mktemp("pictures") / "shapes.png"
    drawn.save(path)
    return str(path)


@pytest.fixture(scope="session")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The embedded model where it is there; else a tiny one with random weights, of the same architecture."""
    if (EMBEDDED_PATH / "config.json").is_file():
        return "embedded"
    return str(write_checkpoint(tmp_path_factory.mktemp("model")))
