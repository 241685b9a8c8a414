"""A visit to the Ask tab: what is seen first, refusals, waiting, the conversation, reloads, links, keyboard, inputs."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Lab, Open
from tests.browser.visitor import answers, ask, choose, show, wait_for_runs
from tests.ui.scripted import MESSAGE
from xcomposer_ui import __version__
from xcomposer_ui.core.messages import text

pytestmark = pytest.mark.browser

SIZES = {"desktop": (1440, 900), "tablet": (1024, 768), "phone": (390, 844)}
IN_VIEW = """(element) => {
  const box = element.getBoundingClientRect();
  return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
}"""


def sized(open_page: Open, lab: Lab, size: str, **options: object) -> Page:
    width, height = SIZES[size]
    return open_page(lab.address, viewport={"width": width, "height": height}, **options)


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_names_the_error_and_one_click_runs_into_it(lab: Lab, open_page: Open, size: str) -> None:
    page = sized(open_page, lab, size)
    expect(page.locator("#start pre")).to_have_text(MESSAGE)
    start = page.get_by_role("button", name="See the error happen")
    assert start.evaluate(IN_VIEW)
    if size != "phone":
        assert page.locator("#strategy").evaluate(IN_VIEW)
    expect(page.locator("#chat, #tiles, #run-status, #runs").locator("visible=true")).to_have_count(0)
    start.click()
    expect(page.locator(".xl-failure pre").first).to_have_text(MESSAGE)
    assert lab.runner.asked[0].strategy == "as_is"
    assert lab.runner.asked[0].image is not None
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#strategy input").first).to_be_checked()
    expect(page.locator("#start section")).to_have_count(0)
    expect(page.locator(".xl-failure")).to_be_in_viewport()


@pytest.mark.parametrize("size", SIZES)
def test_a_refusal_is_seen_and_its_field_has_the_focus(lab: Lab, open_page: Open, picture: str, size: str) -> None:
    page = sized(open_page, lab, size)
    page.locator("#run").click()
    notice = page.locator("#notice .xl-notice")
    expect(notice).to_contain_text("There is no picture yet")
    expect(page.locator("#picture [aria-invalid]")).to_be_focused()
    assert notice.evaluate(IN_VIEW)
    show(page, picture)
    page.locator("#run").click()
    expect(notice).to_contain_text("The question is empty")
    expect(page.locator("#question textarea")).to_be_focused()
    assert notice.evaluate(IN_VIEW)
    page.keyboard.type("What?")
    expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_a_refusal_goes_with_its_cause_and_the_next_one_has_the_focus(
    lab: Lab, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(lab.address)
    notice = page.locator("#notice .xl-notice")
    for name in ("one.png", "two.png", "two.png"):
        (tmp_path / name).write_text("this is a text file")
        page.locator("#run").focus()
        page.locator("#picture input[type=file]").set_input_files(tmp_path / name)
        expect(notice).to_contain_text(name)
        expect(page.locator("#picture .upload-container:focus")).to_have_count(1)
    for change in (
        lambda: page.locator("#examples button").first.click(),
        lambda: page.locator("#suggestions button").first.click(),
        lambda: page.locator("#question textarea").press("W"),
        lambda: page.locator("#strategy label").first.click(),
    ):
        change()
        expect(notice).to_have_count(0)
        page.locator("#question textarea").fill("")
        page.locator("#run").click()
        expect(notice).to_contain_text("The question is empty")


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_comes_into_view(lab: Lab, open_page: Open, picture: str, size: str) -> None:
    page = sized(open_page, lab, size)
    show(page, picture)
    ask(page, "What?", "as_is")
    expect(page.locator(".xl-failure")).to_be_in_viewport()
    remedy = page.get_by_role("button", name="Try “Autocast”")
    remedy.scroll_into_view_if_needed()
    remedy.click()
    wait_for_runs(page, 2)
    expect(answers(page).last).to_be_in_viewport()


def test_enter_during_a_run_is_answered_and_esc_stops(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 1
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "one two three four")
    expect(answers(page)).to_have_text(["You"])
    expect(page.locator("#run")).to_have_text("Running…")
    page.locator("#question textarea").press("Shift+Enter")
    page.locator("#question textarea").press("Enter")
    expect(page.locator("#notice")).to_contain_text("still in progress")
    page.keyboard.press("Escape")
    expect(answers(page)).to_have_text([re.compile(r"You \(stopped\)")])
    expect(page.locator("#run")).to_have_text("Run")
    assert len(lab.runner.asked) == 1


def test_each_turn_can_be_copied_edited_undone_and_asked_again(
    lab: Lab, open_page: Open, picture: str, tmp_path: object
) -> None:
    page = open_page(lab.address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, picture)
    ask(page, "one", "unified")
    wait_for_runs(page, 1)
    turn = page.locator(".xl-turn")
    expect(turn.locator("img")).to_have_count(1)
    expect(turn.locator(".xl-turn-facts")).to_contain_text("Unified")
    turn.get_by_role("button", name="Copy").click()
    expect(turn.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "You asked: one"
    turn.get_by_role("button", name="Ask again").click()
    wait_for_runs(page, 2)
    expect(turn).to_have_count(2)
    turn.last.get_by_role("button", name="Undo").click()
    expect(turn).to_have_count(1)
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    page.locator("#question textarea").fill("")
    turn.get_by_role("button", name="Edit").click()
    expect(turn).to_have_count(0)
    expect(page.locator("#question textarea")).to_have_value("one")
    expect(page.locator("#question textarea")).to_be_focused()


def test_another_picture_is_a_new_conversation_and_clear_clears_the_old(
    lab: Lab, open_page: Open, picture: str
) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "one")
    wait_for_runs(page, 1)
    page.locator("#examples button").nth(2).click()
    expect(page.locator("#question textarea")).not_to_have_value("one")
    page.locator("#run").click()
    wait_for_runs(page, 2)
    expect(page.locator(".xl-divider")).to_have_text("Another picture: the conversation begins anew")
    page.locator("#clear").click()
    expect(page.locator("#start section")).to_be_visible()
    expect(page.locator("#question textarea")).to_have_value("")
    expect(page.locator("#tiles, #run-status, #memory-timeline, #report").locator("visible=true")).to_have_count(0)
    expect(page.locator("#runs tbody tr")).to_have_count(2)


def test_a_reload_loses_nothing_but_the_visitors_own_picture(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    page.locator("#examples button").first.click()
    page.locator("#picture img").wait_for()
    choose(page, "as_is")
    page.locator("#run").click()
    wait_for_runs(page, 1)
    show_another = page.locator("#picture").get_by_role("button", name=re.compile("Clear|Remove"))
    show_another.last.click()
    show(page, picture)
    ask(page, "mine", "unified")
    wait_for_runs(page, 2)
    page.locator("#question textarea").fill("a draft")
    page.wait_for_function("(localStorage['xcomposer-lab-runs'] || '').length > 4000")
    page.reload()
    expect(page.locator(".xl-turn")).to_have_count(2)
    expect(answers(page).last).to_have_text("You asked: mine")
    expect(page.locator(".xl-turn img")).to_have_count(2)
    expect(page.locator(".xl-divider").last).to_contain_text("choose it again")
    expect(page.locator("#question textarea")).to_have_value("a draft")
    expect(page.locator("#strategy input").nth(2)).to_be_checked()
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    expect(page.locator("#tiles")).to_contain_text("842")


def test_a_reload_opens_in_the_language_that_was_chosen(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.locator("#language label").nth(1).click()
    expect(page.locator("#run")).to_have_text(text("run", "zh"))
    page.reload()
    expect(page.locator("#run")).to_have_text(text("run", "zh"))
    expect(page.locator("#language input").nth(1)).to_be_checked()
    page.locator("#language label").first.click()
    expect(page.locator("#run")).to_have_text(text("run", "en"))
    page.reload()
    expect(page.locator("#language input").first).to_be_checked()
    expect(page.locator("#run")).to_have_text(text("run", "en"))


def test_a_reload_during_a_run_gives_it_up_and_the_page_is_ready(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 1
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "one two three four")
    expect(answers(page)).to_have_text(["You"])
    page.reload()
    expect(page.locator("#run")).to_have_text("Run")
    lab.runner.reset()
    show(page, picture)
    ask(page, "one")
    wait_for_runs(page, 1)


def test_the_tab_is_in_the_address_and_back_stays_in_the_app(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.get_by_role("tab", name="Explain").click()
    expect(page).to_have_url(re.compile("#explain$"))
    page.reload()
    expect(page.locator("#pasted")).to_be_visible()
    page.get_by_role("tab", name="Plan").click()
    expect(page).to_have_url(re.compile("#plan$"))
    page.go_back()
    expect(page.locator("#pasted")).to_be_visible()


def test_a_link_is_copied_and_opens_in_the_state_that_it_names(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#examples button").nth(1).click()
    page.locator("#picture img").wait_for()
    ask(page, "Where?", "unified")
    wait_for_runs(page, 1)
    page.get_by_role("button", name="Copy a link to these settings").click()
    expect(page.locator("#report")).to_contain_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{lab.address}?ask=Where")
    expect(answers(page)).to_have_text(["You asked: Where?"])
    other = open_page(link)
    expect(other.locator("#question textarea")).to_have_value("Where?")
    expect(other.locator("#strategy input").nth(2)).to_be_checked()
    expect(other.locator("#picture img")).to_be_visible()


def test_a_file_that_is_no_picture_is_refused_in_the_labs_words(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address, locale="zh-CN")
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "d.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4"}
    )
    expect(page.locator("#notice")).to_contain_text("“d.pdf”是 PDF 文件")
    page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File(['words'], 'dropped', {type: ''}));
          const drop = new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true});
          document.querySelector('#picture button').dispatchEvent(drop);
        }"""
    )
    expect(page.locator("#notice")).to_contain_text("“dropped”是文本文件")
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "noext", "mimeType": "", "buffer": Path(picture).read_bytes()}
    )
    page.locator("#picture img").wait_for()
    expect(page.locator("#notice .xl-notice")).to_have_count(0)
    expect(page.locator(".toast-body")).to_have_count(0)


def test_a_pasted_picture_is_taken_and_replaces_the_one_there(lab: Lab, open_page: Open, picture: str) -> None:
    paste = """async (colour) => {
      const canvas = new OffscreenCanvas(40, 30), pen = canvas.getContext('2d');
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 40, 30);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], 'pasted.png', {type: 'image/png'}));
      document.activeElement.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
    }"""
    page = open_page(lab.address)
    page.evaluate(paste, "red")
    page.locator("#picture img").wait_for()
    first = page.locator("#picture img").get_attribute("src")
    page.evaluate(paste, "blue")
    expect(page.locator("#picture img")).not_to_have_attribute("src", first or "")
    ask(page, "What?")
    wait_for_runs(page, 1)
    image = lab.runner.asked[0].image
    assert image is not None
    assert image.getpixel((5, 5)) == (0, 0, 255)


def test_a_number_out_of_range_is_refused_in_words_at_its_field(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    page.locator("#advanced button").first.click()
    page.locator("#seed input").fill("-5")
    ask(page, "What?")
    expect(page.locator("#notice")).to_contain_text("seed is -5; it must be between 0 and")
    expect(page.locator("#seed input")).to_be_focused()
    expect(page.locator(".toast-body")).to_have_count(0)
    assert lab.runner.asked == []


@pytest.mark.parametrize("size", ["tablet", "phone"])
def test_the_keyboard_reaches_run_soon_and_nothing_is_hidden_by_the_bar(lab: Lab, open_page: Open, size: str) -> None:
    page = sized(open_page, lab, size)
    page.locator("#examples button").first.click()
    expect(page.locator("#suggestions button").first).to_be_visible()
    page.locator("#picture button").last.focus()
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        page.wait_for_timeout(30)
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        covered = page.evaluate("""() => {
          const bar = document.querySelector('.xl-buttons'), focused = document.activeElement;
          if (bar.contains(focused) || !focused.closest('.xl-left')) return false;
          const box = focused.getBoundingClientRect(), over = bar.getBoundingClientRect();
          return box.bottom > over.top + 8 && box.top < over.bottom;
        }""")
        assert not covered, reached
    assert "run" in reached[:8]
    page.locator("#examples button").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#examples button").nth(1)).to_be_focused()
    names = [button.get_attribute("aria-label") for button in page.locator("#examples button").all()]
    assert names[0] == text("example.trio", "en")
    assert all(names)
    small = page.evaluate("""[...document.querySelectorAll('.gradio-container :is(button, [role="tab"], summary, a)')]
      .filter(e => e.offsetParent && e.getClientRects().length && !e.closest('footer, .visually-hidden, p a'))
      .filter(e => { const box = e.getBoundingClientRect(); return box.height < 24 || box.width < 24; })
      .map(e => e.outerHTML.slice(0, 120))""")
    assert [found for found in small if "icon" not in found] == []


def test_a_row_of_tabs_is_one_stop_and_the_arrow_keys_open_its_tabs(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    rows = page.locator("[role=tablist]:visible")
    for row, last in ((rows.first, "Learn"), (rows.last, "Draw")):
        tabs = row.get_by_role("tab")
        tabs.first.focus()
        page.keyboard.press("ArrowLeft")
        expect(row.get_by_role("tab", name=last, exact=True)).to_be_focused()
        for key, place in (("Home", 0), ("ArrowRight", 1), ("End", tabs.count() - 1), ("ArrowRight", 0)):
            page.keyboard.press(key)
            expect(tabs.nth(place)).to_be_focused()
            expect(tabs.nth(place)).to_have_attribute("aria-selected", "true")
        expect(row.locator("[role=tab]:not([tabindex='-1'])")).to_have_count(1)
        page.keyboard.press("Tab")
        expect(row.locator(":focus")).to_have_count(0)


def test_a_drawing_has_its_questions_and_its_hint_in_the_pages_language(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address, locale="zh-CN")
    page.get_by_role("tab", name="手绘").click()
    expect(page.locator(".xl-drawing")).to_contain_text(text("draw.label", "zh"))
    page.locator("#drawing-questions button").nth(1).click()
    expect(page.locator("#question textarea")).to_have_value(text("draw.question.count", "zh"))


@pytest.mark.parametrize(("width", "locale"), [(390, "en-US"), (360, "zh-CN"), (360, "en-US")])
def test_a_phone_has_a_low_header_and_all_tabs_in_view(lab: Lab, open_page: Open, width: int, locale: str) -> None:
    page = open_page(lab.address, viewport={"width": width, "height": 844}, locale=locale, has_touch=True)
    box = page.locator("#head").bounding_box()
    assert box
    assert box["y"] + box["height"] <= 90
    shown = page.locator("#tabs > .tab-wrapper [role=tab]")
    assert shown.count() >= 4
    for tab in shown.all():
        assert tab.evaluate(IN_VIEW)
    expect(page.locator("#tabs > .tab-wrapper .overflow-menu").locator("visible=true")).to_have_count(0)


def test_the_page_is_compressed_and_loads_with_few_requests(lab: Lab, open_page: Open) -> None:
    request = urllib.request.Request(lab.address, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(answer.read()) < 80_000
    page = open_page(lab.address)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.transferSize)")
    assert len(loaded) <= 85
    assert sum(loaded) < 900_000


def test_the_footer_names_version_licence_and_source(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    expect(page.locator("#about")).to_contain_text(__version__)
    expect(page.locator("#about")).to_contain_text("Apache-2.0")
    expect(page.locator("#about")).to_contain_text("Source")
    expect(page.get_by_role("tab", name="Models")).to_have_count(0)  # there is one model to choose from
