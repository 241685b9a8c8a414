"""The Train tab in a real browser, with the real model: live figures, a stop, the report, a mistake, and on a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import SLOWEST_MS, width_of_everything
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 390, "height": 844}
SHORT = "?train=colour&recipes=float32,bfloat16&steps=3&batch=1"


@pytest.fixture(scope="module")
def address(serve: Serve) -> str:
    return serve(Runner(Settings()))


def trained(page: Page) -> None:
    """Press the button, and wait for the end."""
    page.locator("#train").click()
    expect(page.locator("#trained .xl-downloads")).to_be_visible(timeout=SLOWEST_MS)


def test_figures_arrive_while_it_trains_and_a_stop_keeps_them(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?train=colour&recipes=float32,bfloat16&steps=500&batch=1")
    page.locator("#train").click()
    stage = page.locator("#trained .xl-stage")
    expect(stage).to_have_text(re.compile(r"^All float32: step [1-9]\d* of 500"), timeout=SLOWEST_MS)
    expect(page.locator("#trained svg polyline").first).to_be_attached()
    page.locator("#train-stop").click()
    expect(stage).to_have_count(0, timeout=SLOWEST_MS)
    expect(page.locator("#trained")).to_contain_text(text("train.stopped", "en"))
    expect(page.locator("#trained .xl-table").first.locator("tbody tr")).to_have_count(1)


def test_a_mistake_is_a_sentence_and_the_end_has_a_report(address: str, open_page: Open) -> None:
    page = open_page(address + SHORT)
    rate = page.locator("#train-learning-rate input")
    rate.fill("5")
    page.locator("#train").click()
    expect(page.locator("#train-notice [role=alert]")).to_contain_text("must be between 0.0000001 and 1")
    rate.fill("0.00005")
    trained(page)
    expect(page.locator("#train-notice [role=alert]")).to_have_count(0)
    expect(page.locator("#trained .xl-table").first.locator("tbody tr")).to_have_count(2)
    expect(page.locator("#trained")).to_contain_text("MiB predicted")
    with page.expect_download() as download:
        page.locator("#trained .xl-downloads").get_by_text("JSON").click()
    document = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert [(entry["recipe"], len(entry["losses"])) for entry in document["recipes"]] == [
        ("float32", 3),
        ("bfloat16", 3),
    ]
    page.locator("#language label").nth(1).click()
    expect(page.locator("#trained")).to_contain_text(text("train.verdicts", "zh"))


def test_a_phones_width(address: str, open_page: Open) -> None:
    page = open_page(address + SHORT, viewport=PHONE)
    trained(page)
    assert width_of_everything(page) <= PHONE["width"]
