"""The Train tab in a real browser: a training with its charts, a failure and its remedy, a link, a mistake."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import width_of_everything
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.settings import Settings

pytestmark = pytest.mark.browser

LINK = "/?train=place&recipes=float32,bfloat16,float16_scaled&steps=2"


@pytest.fixture(scope="module")
def address(serve: Serve) -> str:
    runner = ScriptedRunner()
    runner.machine.check()
    return serve(runner, Settings(port=0)).rstrip("/")


def test_a_link_fills_the_form_and_a_failure_is_cured_in_one_click(address: str, open_page: Open) -> None:
    page = open_page(address + LINK)
    expect(page.locator("#train")).to_be_visible()
    expect(page.locator("#train-mistakes input:checked")).to_have_count(1)
    expect(page.locator("#train-recipes input:checked")).to_have_count(2)
    page.locator("#train").click()
    expect(page.locator(".xl-verdicts dt")).to_have_count(3)
    expect(page.locator(".xl-gradient")).to_have_count(1)
    expect(page.locator("#trained")).to_contain_text("Attempting to unscale FP16 gradients.")
    page.locator("#train-remedy-autocast_float16").click()
    expect(page.locator(".xl-verdicts dt")).to_have_count(4)
    expect(page.locator(".xl-gradient")).to_have_count(2)
    expect(page.locator("#train-remedy-autocast_float16")).to_be_hidden()
    assert "float16_scaled" in str(page.locator("#trained [data-copy-link]").get_attribute("data-copy-link"))
    assert width_of_everything(page) <= 1280


def test_no_recipe_is_a_mistake_that_is_named(address: str, open_page: Open) -> None:
    page = open_page(address + LINK)
    for box in page.locator(":is(#train-recipes, #train-mistakes) input:checked").all()[::-1]:
        box.uncheck()
    page.locator("#train").click()
    expect(page.locator("#train-notice")).to_contain_text("Choose at least one recipe.")
