"""A server that goes away and comes back: the page says so, and goes on by itself."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.visitor import answers, ask, wait_for_runs
from tests.planning.scripted import ScriptedPlans
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.ui.serve import launch

pytestmark = pytest.mark.browser


def test_a_visit_goes_on_after_the_server_was_started_anew(windows: Callable[..., BrowserContext]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app, address, _ = launch(Settings(port=port), ScriptedRunner(), ScriptedPlans())  # type: ignore[arg-type]
    page = windows(locale="zh-CN", viewport={"width": 1280, "height": 900}).new_page()
    try:
        page.goto(address)
        page.locator("#examples button").first.click()
        page.locator("#picture img").wait_for()
        ask(page, "What is there?", "unified")
        wait_for_runs(page, 1)
        page.locator("#question textarea").fill("And now?")
        expect(page.locator("#connection")).to_be_hidden()
        app.close()
        page.evaluate("dispatchEvent(new Event('offline'))")  # rather than wait for the next look
        expect(page.locator("#connection")).to_be_visible()
        expect(page.locator("#connection")).to_contain_text(text("connection.lost", "zh"))
        page.locator("#run").click()  # Gradio's own words about it are not shown
        expect(page.locator(".toast-body").locator("visible=true")).to_have_count(0)
        runner = ScriptedRunner()
        app, _, _ = launch(Settings(port=port), runner, ScriptedPlans())  # type: ignore[arg-type]
        expect(page.locator(".xl-divider")).to_contain_text(text("chat.restored", "zh"))
        expect(page.locator("#connection")).to_be_hidden()
        expect(answers(page)).to_have_text(["You asked: What is there?"])
        expect(page.locator("#question textarea")).to_have_value("And now?")
        page.locator("#run").click()
        wait_for_runs(page, 2)
        expect(answers(page).last).to_have_text("You asked: And now?")
        assert [question.strategy for question in runner.asked] == ["unified"]
    finally:
        page.close()
        app.close()
