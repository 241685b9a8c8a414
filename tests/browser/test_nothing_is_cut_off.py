"""No text and no table of any tab is wider than its box, at six widths and in both languages."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import ask, show, wait_for_runs, width_of_everything
from tests.compare.scripted import ScriptedRunner
from tests.finetuning.scripted import ScriptedTrainer
from tests.planning.machines import facts
from tests.planning.scripted import ScriptedPlans
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned
from xcomposer_ui.planning.default_choices import Machine
from xcomposer_ui.planning.hardware import checked

pytestmark = pytest.mark.browser

WIDTHS = (360, 390, 768, 1024, 1280, 1920)
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}

CUT_OFF = """(places) => {
  const PARTS = 'p,td,th,dt,dd,li,h3,h4,summary,a,button,pre,code,figcaption,table,svg,label,span';
  const cut = [], shown = (box) => box.width > 1 && box.height > 1;
  const root = document.documentElement.clientWidth;
  const named = (node) => node.tagName.toLowerCase() + (node.id ? '#' + node.id : '') + '.' +
    (node.getAttribute('class') || '').split(' ').join('.') + ' “' + node.textContent.trim().slice(0, 60) + '”';
  for (const place of document.querySelectorAll(places)) {
    for (const node of place.querySelectorAll(PARTS)) {
      const box = node.getBoundingClientRect();
      if (!shown(box) || node.closest('.xl-visually-hidden, [aria-hidden=true], .xl-ticks, .xl-phases')) continue;
      if (node.closest('.xl-number-line .xl-scroll')) continue;  // a drawing that is moved sideways
      if (box.left < -1 || box.right > root + 1) { cut.push('outside the window: ' + named(node)); continue; }
      const style = getComputedStyle(node);
      const clips = style.overflowX !== 'visible' && style.textOverflow !== 'ellipsis' &&
        style.webkitLineClamp === 'none' && node.tagName !== 'PRE';
      if (clips && node.scrollWidth > node.clientWidth + 1) cut.push('wider than its box: ' + named(node));
      for (let around = node.parentElement; around && around !== place.parentElement; around = around.parentElement) {
        const hides = getComputedStyle(around).overflowX;
        if (hides === 'auto' || hides === 'scroll') break;
        const edge = around.getBoundingClientRect();
        if ((hides === 'hidden' || hides === 'clip') && shown(edge) && box.right > edge.right + 1) {
          cut.push('cut off by ' + named(around).slice(0, 60) + ': ' + named(node));
          break;
        }
      }
    }
  }
  for (const text of document.querySelectorAll('.xl-depth svg text')) {
    const box = text.getBoundingClientRect();
    const right = box.height >= 10 && box.height <= 19;
    if (shown(box) && !right) cut.push('small or large: ' + box.height.toFixed(1) + ' px ' + named(text));
  }
  for (const track of document.querySelectorAll('.xl-track')) {
    const box = track.getBoundingClientRect();
    if (shown(box) && box.width < 80) cut.push(`a bar of ${box.width.toFixed(0)} px: ` + named(track.parentElement));
  }
  return [...new Set(cut)];
}"""
"""(selector of the places) => what is wider than its box, outside the window, or too small to read."""

MESSAGE = "mat1 and mat2 must have the same dtype, but got Float and Half"
PLACES = ".xl-left, .xl-right, #models, #head, #lesson, #explorer"


class WholeRunner(ScriptedRunner):
    """Trains as well."""

    def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
        yield from ScriptedTrainer().finetune(request)


def visited(page: Page, picture: str) -> Iterator[str]:
    """Fill one tab after the other, and yield its name."""
    show(page, picture)
    ask(page, "How many red squares are there in the picture?", "as_is")
    wait_for_runs(page, 1)
    expect(page.locator(".xl-failure")).to_be_visible()
    for details in page.locator(".xl-failure details > summary").all():
        details.click()
    yield "ask"
    tabs = page.locator("#tabs > .tab-wrapper")
    tabs.get_by_role("tab").nth(1).click()
    page.locator("#compare").click()
    expect(page.locator("#compared .xl-downloads")).to_be_visible()
    page.locator("#compared summary").first.click()
    yield "compare"
    tabs.get_by_role("tab").nth(2).click()
    page.locator("#pasted textarea").fill(
        "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
    )
    page.locator("#explain").click()
    expect(page.locator("#explained .xl-known")).to_be_visible()
    for details in page.locator("#explained details > summary").all():
        details.click()
    yield "explain"
    tabs.get_by_role("tab").nth(3).click()
    page.locator("#plan").click()
    expect(page.locator("#planned .xl-headline")).to_be_visible()
    page.locator("#check-section button").first.click()
    yield "plan"
    tabs.get_by_role("tab").nth(4).click()
    page.locator("#train").click()
    expect(page.locator("#trained .xl-downloads")).to_be_visible()
    for details in page.locator("#trained details > summary").all():
        details.click()
    yield "train"
    tabs.get_by_role("tab").nth(5).click()
    page.locator(".xl-choice").nth(1).click()  # a step of calculations, which needs no model
    expect(page.locator(".xl-lesson-why")).to_be_visible()
    yield "learn"
    for place in ("floats", "teacher"):
        page.locator(".xl-lesson-nav .xl-place").nth(("floats", "teacher").index(place)).click()
        expect(page.locator(".xl-lesson-nav .xl-place[aria-current]")).to_have_count(1)
        yield place


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cut_off_at_any_width(serve: Serve, open_page: Open, picture: str, language: str) -> None:
    runner: Any = WholeRunner(machine=Machine(lambda: checked(facts())))
    runner.machine.check()
    page = open_page(serve(runner, Settings(port=0), ScriptedPlans()), locale=LANGUAGES[language])
    found: dict[tuple[str, int], list[str]] = {}
    for tab in visited(page, picture):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            cut = page.evaluate(CUT_OFF, PLACES)
            whole = width_of_everything(page)
            if cut or whole > width:
                found[tab, width] = [*cut, *([f"the page is {whole} px wide"] if whole > width else [])]
        page.set_viewport_size({"width": 1280, "height": 900})
    assert found == {}


@pytest.mark.parametrize("width", [768, 1024])
def test_what_a_tile_measures_is_read_whole(serve: Serve, open_page: Open, picture: str, width: int) -> None:
    page = open_page(serve(WholeRunner(), Settings(port=0)))
    page.set_viewport_size({"width": width, "height": 900})
    show(page, picture)
    ask(page, "What?")
    wait_for_runs(page, 1)
    cut = "(lines) => lines.filter((line) => line.scrollWidth > line.clientWidth).map((line) => line.textContent)"
    assert page.locator(".xl-kind").evaluate_all(cut) == []
