"""The Compare tab in a real browser: from a link to the report, and a stop in the middle."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Lab
from tests.browser.visitor import answers, ask, show, wait_for_runs
from tests.compare.scripted import ScriptedRunner
from tests.planning.scripted import GIB, ScriptedPlans
from tests.runtime.test_runner import ScriptedBackend
from tests.ui.test_preflight import Tight
from xcomposer_ui.core.events import Event, TextSoFar
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.examples import examples

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
Serve = Callable[..., str]


class HeldRunner(ScriptedRunner):
    """Ends so many runs that every strategy has its row, and goes on with the next one until it is stopped."""

    def run(self, *args: Any, **kwargs: Any) -> Generator[Event, None, None]:
        while len(self.asked) >= 16:
            yield TextSoFar("a")
            time.sleep(0.3)  # each event is drawn
        yield from super().run(*args, **kwargs)


def test_a_link_restores_the_settings_and_a_comparison_shows_and_gives_all(
    open_page: Open, serve: Serve, picture: str
) -> None:
    address = serve(ScriptedRunner())
    page = open_page(address)
    page.goto(address + "?compare=How+many%3F&halves=float16,bfloat16&repeats=2")
    question = page.locator("#compare-question textarea")
    expect(question).to_have_value("How many?", timeout=60_000)
    page.locator("#compare-picture input[type=file]").set_input_files(picture)
    expect(page.locator("#compare-picture img")).to_be_visible()
    page.locator("#compare").click()
    takeaway = page.locator(".xl-downloads")
    expect(takeaway).to_be_visible(timeout=60_000)
    expect(page.locator("#compared .xl-table").first.locator("tbody tr")).to_have_count(6)
    expect(page.locator("#compared mark.xl-different")).to_have_text([" square", " square"])
    expect(page.locator("#compared svg polyline")).to_have_count(3)  # two a half type coincide; and the floor
    with page.expect_download() as started:
        takeaway.get_by_text("Python script").click()
    assert "from_pretrained" in Path(started.value.path()).read_text(encoding="utf-8")
    page.locator("#language").get_by_text("中文").click()
    expect(page.locator(".xl-headline")).to_contain_text("与全精度不同")


def test_compare_this_takes_picture_question_and_settings_along(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    page.locator("#half").get_by_text("bfloat16").click()
    page.locator("#advanced button").first.click()
    page.locator("#max-new-tokens input[type=number]").fill("33")
    page.keyboard.press("Tab")
    ask(page, "How many?")
    wait_for_runs(page, 1)
    page.locator("#question textarea").fill("Something else")  # the run's question is compared, not the form's
    page.get_by_role("button", name="Compare this").click()
    expect(page.locator("#compare-picture img")).to_be_visible()
    expect(page.locator("#compare-question textarea")).to_have_value("How many?")
    expect(page.locator("#compare-halves input:checked")).to_have_count(1)
    expect(page.locator("#compare-halves").get_by_label("bfloat16")).to_be_checked()
    expect(page.locator("#compare")).to_be_focused()
    expect(page).to_have_url(re.compile("#compare$"))
    page.get_by_role("button", name="Advanced").locator("visible=true").click()
    expect(page.locator("#compare-max-new-tokens input[type=number]")).to_have_value("33")


def test_see_a_difference_fills_the_form_in_and_compares_both_halves(open_page: Open, serve: Serve) -> None:
    runner = ScriptedRunner()
    page = open_page(serve(runner) + "?compare=What%3F")
    page.get_by_role("button", name="See a difference").click()
    stressed = next(example for example in examples() if example.stress_exponent)
    expect(page.locator("#compare-question textarea")).to_have_value(stressed.question)
    expect(page.locator("#compare-picture img")).to_be_visible()
    expect(page.locator("#compared .xl-downloads")).to_be_visible()
    expect(page.locator("#compared .xl-table").first.locator("tbody tr")).to_have_count(6)
    assert {half for strategy, half, _ in runner.asked if strategy == "unified"} == {"float16", "bfloat16"}
    expect(page.locator("p[role=status]")).to_have_text(page.locator("#compared .xl-headline").inner_text())
    page.locator("#compare-batch").click()
    expect(page.locator("p[role=status]")).to_have_text(re.compile(r"^On the examples (\d+) / \1$"))


class HeldBackend(ScriptedBackend):
    """Answers a question once its gate is open."""

    def __init__(self, model: str, device: str) -> None:
        super().__init__(model, device)
        self.gates = {"Compared?": threading.Event(), "Asked?": threading.Event()}

    def generate(self, request: Request, progress: Progress) -> CallResult:
        while not self.gates[request.text].wait(0.05):
            if progress.stop.is_set():
                return CallResult(Measurement(), "", stopped=True)
        return super().generate(request, progress)


def test_a_comparison_gives_way_to_a_run_and_both_see_what_they_wait_for(open_page: Open, serve: Serve) -> None:
    backend = HeldBackend("embedded", "cpu")
    address = serve(Runner(Settings(), lambda *_: backend), plans=ScriptedPlans())  # type: ignore[arg-type]
    comparing = open_page(address + "?compare=Compared%3F&repeats=2&example=trio.png")
    comparing.locator("#compare").click()
    asking = open_page(address + "?ask=Asked%3F&strategy=unified&example=trio.png", locale="zh-CN")
    asking.locator("#picture img").wait_for()
    asking.locator("#run").click()
    expect(asking.locator("#run-status")).to_contain_text("下一个就轮到你。正在运行：")
    backend.gates["Compared?"].set()
    expect(comparing.locator("#compared")).to_contain_text(
        "You are next in the queue. Running now: a run under “Unified”."
    )
    backend.gates["Asked?"].set()
    expect(answers(asking)).to_have_text(["one Asked? three"])
    expect(comparing.locator("#compared .xl-downloads")).to_be_visible()
    order = [request.text for request in backend.asked]
    assert 0 < order.index("Asked?") < len(order) - 1


def test_stop_keeps_what_is_done(open_page: Open, serve: Serve, picture: str) -> None:
    address = serve(HeldRunner())
    page = open_page(address)
    page.goto(address + "?compare=What%3F&repeats=9")
    expect(page.locator("#compare-question textarea")).to_have_value("What?", timeout=60_000)
    page.locator("#compare-picture input[type=file]").set_input_files(picture)
    expect(page.locator("#compare-picture img")).to_be_visible()
    page.locator("#compare").click()
    rows = page.locator("#compared .xl-table").first.locator("tbody tr")
    expect(rows).to_have_count(4, timeout=60_000)  # every strategy once; many repeats are still to come
    page.locator("#compare-stop").click()
    expect(page.locator(".xl-downloads")).to_be_visible()
    expect(page.get_by_text("Stopped. What was measured by then is kept.", exact=True)).to_be_visible()
    expect(page.locator("#compared progress")).to_have_count(0)


def test_the_ask_tabs_picture_and_question_come_along_and_replace_nothing(
    open_page: Open, serve: Serve, picture: str
) -> None:
    page = open_page(serve(ScriptedRunner()))
    tab = {name: page.get_by_role("tab", name=name, exact=True) for name in ("Ask", "Compare")}
    question = page.locator("#compare-question textarea")
    tab["Compare"].click()
    question.fill("Mine?")
    tab["Ask"].click()
    show(page, picture)
    page.locator("#question textarea").fill("How many?")
    tab["Compare"].click()
    expect(question).to_have_value("Mine?")
    expect(page.locator("#compare-picture img")).to_have_count(0)
    question.fill("")
    tab["Ask"].click()
    tab["Compare"].click()
    expect(question).to_have_value("How many?")
    expect(page.locator("#compare-picture img")).to_be_visible()
    page.locator("#compare").click()
    expect(page.locator("#compared .xl-table").first.locator("tbody tr")).to_have_count(4)


def test_a_field_is_marked_as_wrong_only_as_long_as_its_refusal_stands(open_page: Open, serve: Serve) -> None:
    page = open_page(serve(ScriptedRunner()) + "?compare=What%3F")
    page.locator("#compare").click()
    wrong = page.locator("#compare-picture [aria-invalid]")
    expect(wrong).to_have_attribute("aria-describedby", "compare-notice")
    page.locator("#language label").nth(1).click()
    expect(page.locator("#compare-notice")).to_contain_text("还没有图片")
    expect(wrong).to_have_count(1)
    page.locator("#compare-batch").click()
    expect(page.locator("#compared .xl-downloads")).to_be_visible()
    expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_what_does_not_fit_is_said_and_those_that_fit_are_compared(open_page: Open, serve: Serve, picture: str) -> None:
    runner = ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")
    page = open_page(serve(runner, Settings(model="org/large", port=0), Tight(tiles=9)))
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.locator("#compare-question textarea").fill("What?")
    page.locator("#compare-picture input[type=file]").set_input_files(picture)
    expect(page.locator("#compare-picture img")).to_be_visible()
    page.locator("#compare").click()
    notice = page.locator("#compare-does-not-fit")
    expect(notice).to_contain_text("needs 35.0 GiB")
    expect(notice).to_contain_text("With at most 9 tiles")
    assert runner.asked == []
    page.locator("#language").get_by_text("中文").click()
    expect(notice).to_contain_text("放得下的有")
    page.get_by_role("button", name="只对比放得下的").click()
    expect(page.locator("#compared .xl-table").first.locator("tbody tr")).to_have_count(3)
    expect(notice.locator(".xl-notice")).to_have_count(0)
    assert {strategy for strategy, _, _ in runner.asked} == {"as_is", "autocast", "unified"}
