"""Takes the pictures that the README shows, of real runs: `python -m tests.browser.screenshots [NAME ...]`.

Writes assets/screenshots/answer.png (light), failure.png (light), failure-dark.png, chinese.png and phone.png, and of
the Learn tab lesson.png and floats.png.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, chromium
from tests.browser.visitor import choose, wait_for_runs
from xcomposer_ui.core.settings import ASSETS, Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.serve import launch

FOLDER = ASSETS / "screenshots"
DESKTOP = {"viewport": {"width": 1280, "height": 1000}, "device_scale_factor": 1.25}
PHONE = {"viewport": {"width": 375, "height": 812}, "device_scale_factor": 2}


def main(names: list[str]) -> int:
    """Serve the embedded model, visit, and save what is seen (`names` only, if any); the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings = Settings(port=0)
    runner = Runner(settings)
    runner.warm_up()
    app, address, _ = launch(settings, runner)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for name, strategies, options in (
            ("answer", ("full", "autocast", "unified"), {**DESKTOP, "locale": "en-US"}),
            ("failure", ("autocast", "as_is"), {**DESKTOP, "locale": "en-US"}),
            ("failure-dark", ("autocast", "as_is"), {**DESKTOP, "locale": "en-US", "color_scheme": "dark"}),
            ("chinese", ("full", "autocast"), {**DESKTOP, "locale": "zh-CN"}),
            ("phone", ("autocast",), {**PHONE, "locale": "en-US"}),
        ):
            if names and name not in names:
                continue
            with visited(browser, address, strategies, options) as page:
                page.screenshot(path=FOLDER / f"{name}.png")
        for name, place, options in (
            ("lesson", "distance", {"viewport": {"width": 1280, "height": 720}, "device_scale_factor": 1.25}),
            ("floats", "floats&first=0.1", {**DESKTOP, "locale": "en-US"}),
        ):
            if names and name not in names:
                continue
            with learning(browser, address, place, options) as page:
                page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()
    app.close()
    return 0


@contextmanager
def visited(browser: Browser, address: str, strategies: tuple[str, ...], options: dict[str, Any]) -> Iterator[Page]:
    """A page on which an example was asked under each of `strategies`."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator("#examples button").first.click()
    page.locator("#picture img").wait_for()
    for count, strategy in enumerate(strategies, 1):
        choose(page, strategy)
        page.locator("#run").click()
        wait_for_runs(page, count)
    if options["viewport"]["width"] > 500:  # as tall as the page: the row of buttons sticks to the window's end
        page.set_viewport_size({"width": 1280, "height": page.evaluate("document.documentElement.scrollHeight")})
    page.wait_for_timeout(800)  # until the last transition has come to rest
    yield page
    context.close()


@contextmanager
def learning(browser: Browser, address: str, place: str, options: dict[str, Any]) -> Iterator[Page]:
    """The Learn tab at `place`; a step with its second answer chosen, and what its run showed."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{address}?learn={place}")
    page.locator(".xl-lesson-nav [aria-current]").wait_for()
    page.wait_for_timeout(800)
    if page.locator(".xl-choice").count():
        page.locator(".xl-choice").nth(1).click()
        page.locator(".xl-lesson-why").wait_for()
    page.wait_for_timeout(800)
    yield page
    context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
