"""The Learn tab in a browser: a step by mouse and by keyboard, the score, the explorer's bits, links, sizes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import SLOWEST_MS, width_of_everything
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.lesson.step import Step, lesson
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape
from xcomposer_ui.planning.planner_process import plan_request, predict_shape
from xcomposer_ui.runtime.runner import Runner

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROJECTOR = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}


class PlansHere:
    """Plans in this process: their own process's low priority would starve on a busy machine."""

    def plan(self, request: PlanRequest, gone: object = None) -> Plan:
        return plan_request(request)

    def predict(self, shape: RunShape, gone: object = None) -> int:
        return predict_shape(shape)


@pytest.fixture(scope="module")
def address(serve: Serve) -> str:
    runner = Runner(Settings())
    runner.warm_up()
    return serve(runner, plans=PlansHere())  # type: ignore[arg-type]  # a double of the planning process


def answer(page: Page, step: Step, choice: str) -> None:
    """Choose an answer of the step that is shown, and wait for what its run showed."""
    page.locator(".xl-choice").nth(list(step.choices).index(choice)).click()
    expect(page.locator(".xl-lesson-why")).to_be_visible(timeout=SLOWEST_MS)


def wrong(step: Step) -> str:
    """The answer with the longest reason that it is tempting."""
    return max(
        (name for name in step.choices if name != step.expected),
        key=lambda name: len(text(f"lesson.{step.name}.tempting.{name}", "en")),
    )


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("step", lesson(), ids=[step.name for step in lesson()])
def test_a_step_with_its_result_fits_a_projector(address: str, open_page: Open, step: Step, locale: str) -> None:
    page = open_page(f"{address}?learn={step.name}", locale=locale, viewport=PROJECTOR)
    answer(page, step, wrong(step))
    box = page.locator(".xl-lesson").bounding_box()
    assert box is not None and box["y"] + box["height"] <= PROJECTOR["height"]
    assert page.evaluate("scrollY") == 0


def test_two_steps_by_keyboard_and_the_score_after_a_reload(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn")
    page.locator(".xl-choice").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".xl-lesson .xl-verdict-line")).to_be_focused(timeout=SLOWEST_MS)
    expect(page.locator(".xl-score")).to_have_text("1 of 1 predicted correctly")
    page.locator(".xl-next").focus()
    page.keyboard.press("Space")
    expect(page.locator("#xl-step-title")).to_be_focused()
    expect(page.locator("#xl-step-title")).to_contain_text(text("lesson.full_precision.title", "en"))
    answer(page, lesson()[1], "busy")
    expect(page.locator(".xl-score")).to_have_text("1 of 2 predicted correctly")
    page.reload()
    expect(page.locator(".xl-score")).to_have_text("1 of 2 predicted correctly")
    expect(page.locator("#xl-step-title")).to_contain_text(text("lesson.full_precision.title", "en"))
    page.get_by_role("button", name=text("lesson.again", "en")).click()
    expect(page.locator(".xl-score")).to_contain_text("about twenty minutes")


def test_back_from_a_link_is_what_was_before_it(address: str, open_page: Open) -> None:
    page = open_page(address)
    page.goto(f"{address}?learn=clash")
    expect(page).to_have_url(f"{address}#learn")
    page.go_back()
    expect(page).to_have_url(address)
    expect(page.get_by_role("tab", name="Ask", exact=True)).to_have_attribute("aria-selected", "true")


def test_the_language_of_an_answered_step_changes(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn={lesson()[0].name}")
    answer(page, lesson()[0], "exact")
    page.locator("#language label").nth(1).click()
    expect(page.locator("#xl-step-title")).to_contain_text(text("lesson.range_and_resolution.title", "zh"))
    expect(page.locator(".xl-lesson-why h4")).to_have_text(text("lesson.why", "zh"))


def test_typing_clicking_and_drawing_in_the_explorer(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn=floats&first=1")
    number, half = page.locator("#float-first input, #float-first textarea"), page.locator('[data-format="float16"]')
    expect(half).to_have_text("0011110000000000")
    half.locator("[data-bit]").first.click()
    expect(number).to_have_value("-1.0")
    number.fill("70000")
    expect(page.locator("tr", has=half).locator("b")).to_have_text("∞")
    number.fill("nonsense")
    expect(page.locator("#floats [role=alert]")).to_contain_text("is not a number")
    number.fill("0")
    expect(half).to_have_text("0" * 16)
    bits = [half.locator("[data-bit]").nth(n).bounding_box() for n in (1, 3)]
    assert bits[0] is not None and bits[1] is not None
    page.mouse.move(bits[0]["x"] + 5, bits[0]["y"] + 5)
    page.mouse.down()
    page.mouse.move(bits[1]["x"] + 5, bits[1]["y"] + 5, steps=12)
    page.mouse.up()
    expect(number).to_have_value("8192.0")  # 2 ** (16 + 8 + 4 - 15)
    expect(half).to_have_text("0111" + "0" * 12)


def test_bits_by_keyboard(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn=floats&first=1")
    bits = page.locator('[data-format="bfloat16"] [data-bit]')
    bits.first.focus()
    page.keyboard.press("ArrowRight")
    expect(bits.nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator('[data-format="bfloat16"]')).to_have_text(re.compile("^0111"))
    expect(bits.nth(1)).to_be_focused()


def test_a_sum_by_a_preset(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn=floats&first=1")
    page.get_by_role("button", name="2048 + 1").click()
    expect(page.locator("#floats tbody tr").nth(2).locator("b")).to_have_text("2048")
    expect(page.locator("#floats tbody tr").nth(0).locator("b")).to_have_text("2049")
    expect(page.locator("#float-operation input").nth(1)).to_be_checked()


@pytest.mark.parametrize("place", ["range_and_resolution", "floats&first=0.1", "teacher"])
def test_a_phones_width(address: str, open_page: Open, place: str) -> None:
    page = open_page(f"{address}?learn={place}", viewport=PHONE)
    expect(page.locator(".xl-lesson-nav")).to_be_visible()
    assert width_of_everything(page) <= PHONE["width"]


def test_the_teacher_downloads_a_worksheet(address: str, open_page: Open) -> None:
    page = open_page(f"{address}?learn=teacher", locale="zh-CN")
    with page.expect_download() as download:
        page.get_by_role("link", name=text("lesson.teacher.sheet", "zh")).click()
    sheet = download.value.path().read_text("utf-8")
    assert text("lesson.sheet.about", "zh") in sheet and "@media print" in sheet
