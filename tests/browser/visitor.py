"""What a visitor does and sees, in the words of the tests."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

STRATEGIES = ("as_is", "autocast", "unified", "full")
SLOWEST_MS = 180_000


def show(page: Page, picture: str) -> None:
    """Upload `picture` and wait until it is there."""
    page.locator("#picture input[type=file]").set_input_files(picture)
    page.locator("#picture img").wait_for()


def choose(page: Page, strategy: str) -> None:
    """Choose `strategy` among the four."""
    page.locator("#strategy label").nth(STRATEGIES.index(strategy)).click()


def ask(page: Page, question: str, strategy: str | None = None) -> None:
    """Type `question`, choose `strategy`, press Run."""
    page.locator("#question textarea").fill(question)
    if strategy is not None:
        choose(page, strategy)
    page.locator("#run").click()


def answers(page: Page) -> Locator:
    """What the model said, oldest first."""
    return page.locator("#chat .xl-answer")


def tile(page: Page, name: str) -> Locator:
    """The figure of one tile: "latency", "first", "rate" or "memory"."""
    return page.locator(f'[data-tile="{name}"] .xl-figure')


def wait_for_runs(page: Page, count: int) -> None:
    """Wait until `count` runs have ended."""
    expect(page.locator("#runs tbody tr")).to_have_count(count, timeout=SLOWEST_MS)


def width_of_everything(page: Page) -> int:
    """The page's whole width in pixels, what hangs out included."""
    return int(page.evaluate("document.documentElement.scrollWidth"))
