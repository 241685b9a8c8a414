"""The page in a real browser on a real model, from the click to the figures."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import SLOWEST_MS, answers, ask, show, tile, wait_for_runs
from tests.ui.scripted import MESSAGE
from xcomposer_ui.core.settings import ASSETS, Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.examples import examples

pytestmark = pytest.mark.browser

FIGURE = re.compile(r"^[\d.]+\s*(ms|s|tok/s|KiB|MiB|GiB)$")


@pytest.fixture(scope="module")
def address(serve: Serve, real_model: str) -> str:
    """The page on the real runner, warmed up."""
    settings = Settings(model=real_model, port=0)
    runner = Runner(settings)
    runner.warm_up()
    return serve(runner, settings)


def short(page: Page) -> None:
    """Few new tokens: a model with random weights would go on to the limit."""
    page.locator("#advanced button").first.click()
    page.get_by_role("spinbutton", name=re.compile("New tokens")).fill("8")
    page.keyboard.press("Tab")


def test_every_strategy_does_what_it_says(address: str, open_page: Open, picture: str) -> None:
    page = open_page(address)
    show(page, picture)
    short(page)
    ask(page, "How many shapes are there?", "as_is")
    wait_for_runs(page, 1)
    card = page.locator(".xl-failure")
    expect(card.get_by_label("The exact message")).to_have_text(MESSAGE)
    expect(card).to_contain_text("vision_proj.0")
    expect(card.locator("tbody .xl-dtype").filter(has_text="float32")).to_have_count(1)
    page.get_by_role("button", name="Try “Autocast”").click()
    wait_for_runs(page, 2)
    expect(card).to_have_count(0)
    for name in ("latency", "first", "rate", "memory"):
        expect(tile(page, name)).to_have_text(FIGURE)
    for number, strategy in ((3, "unified"), (4, "full")):
        ask(page, "How many shapes are there?", strategy)
        wait_for_runs(page, number)
    expect(page.locator("#runs tbody .xl-dtype")).to_have_text(["float32", "float16", "float16", "float16"])
    expect(page.locator("#runs .xl-failed")).to_have_count(1)


def test_two_clicks_to_a_right_answer(address: str, open_page: Open) -> None:
    page = open_page(address)
    example = page.locator("#examples button").first
    example.click()
    expect(example).to_have_css("background-image", re.compile("^url"))  # under the pointer too
    expect(page.locator("#question textarea")).to_have_value(examples()[0].question)
    page.locator("#run").click()
    listed = json.loads((ASSETS / "examples" / "examples.json").read_text(encoding="utf-8"))
    right = next(one["answer"] for one in listed if one["question"] == examples()[0].question)
    expect(answers(page)).to_have_text([right], timeout=SLOWEST_MS)
    wait_for_runs(page, 1)
    expect(tile(page, "latency")).to_have_text(FIGURE)
    page.locator("#suggestions button").nth(1).click()
    expect(page.locator("#question textarea")).not_to_have_value(examples()[0].question)


@pytest.mark.slow
def test_see_a_difference_shows_float16_answering_otherwise(address: str, open_page: Open, real_model: str) -> None:
    if real_model != "embedded":
        pytest.skip("a model with random weights has no answer to change")
    page = open_page(address)
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.get_by_role("button", name="See a difference").click()
    expect(page.locator("#compared .xl-downloads")).to_be_visible(timeout=SLOWEST_MS)
    differs = page.locator("#compared dd").filter(has=page.locator("mark.xl-different"))
    expect(differs).to_have_count(2)  # Autocast and Unified, in float16 alone
    expect(page.locator("#compared dd.xl-float16").filter(has=page.locator("mark"))).to_have_count(2)
