"""The page in a real browser, on a runner that plays a script."""

from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Lab, Open
from tests.browser.visitor import STRATEGIES, answers, ask, choose, show, tile, wait_for_runs, width_of_everything
from tests.ui.scripted import FAILURE, LOADING, MESSAGE
from xcomposer_ui.core.messages import text

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> **b** <script>document.title='owned'</script>"


def test_upload_ask_and_see_it_all(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "What is there?")
    expect(answers(page)).to_have_text(["You asked: What is there?"])
    expect(tile(page, "latency")).to_have_text("842ms")
    expect(tile(page, "first")).to_have_text("213ms")
    expect(tile(page, "rate")).to_have_text("31.4tok/s")
    expect(tile(page, "memory")).to_have_text("14.7MiB")
    expect(page.locator("#run-status .xl-dtype")).to_have_text(["float32", "float16", "float16"])
    wait_for_runs(page, 1)
    question = lab.runner.asked[0]
    assert question.image is not None
    assert question.image.size == (320, 240)


def test_a_double_click_counts_once(lab: Lab, open_page: Open) -> None:
    """Whatever a run takes: one that has ended by the second click would be asked again."""
    page = open_page(lab.address)
    page.locator("#run").wait_for()
    heard = page.evaluate("""() => {
      const run = document.querySelector('#run'), question = document.querySelector('#question textarea');
      const at = (event, ms) => Object.defineProperty(event, 'timeStamp', {value: ms});
      let heard = [], count = 0;
      run.addEventListener('click', () => { count += 1; });
      const press = (ms) => {
        run.dispatchEvent(at(new MouseEvent('click', {bubbles: true, cancelable: true}), ms));
        heard.push(count);
      };
      press(1000);
      press(1499);
      press(1500);
      question.dispatchEvent(new Event('input', {bubbles: true}));
      press(1501);
      let entered = 0;
      question.addEventListener('keydown', () => { entered += 1; });
      const enter = (ms) =>
        question.dispatchEvent(at(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}), ms));
      enter(3000);
      enter(3499);
      return [...heard, entered];
    }""")
    assert heard == [1, 1, 2, 3, 1]


def test_the_answer_streams_and_its_stages_show(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.before, lab.runner.held_at = LOADING, 3
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "one two")
    expect(page.locator("#run-status")).to_contain_text(re.compile("Loading embedded in float16|Running"))
    expect(answers(page)).to_have_text(["You asked: one"])
    lab.runner.go.set()
    expect(answers(page)).to_have_text(["You asked: one two"])


def test_nothing_jumps_when_figures_arrive(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    lab.runner.held_at = 1
    ask(page, "What?")
    expect(answers(page)).to_have_text(["You"])
    before = [page.locator(name).bounding_box() for name in ("#chat", "#tiles", "#run-status")]
    lab.runner.go.set()
    wait_for_runs(page, 1)
    after = [page.locator(name).bounding_box() for name in ("#chat", "#tiles", "#run-status")]
    assert [box and (box["x"], box["y"], box["width"]) for box in before] == [
        box and (box["x"], box["y"], box["width"]) for box in after
    ]


def test_a_failure_shows_its_card_and_a_button_cures_it(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "What is there?", "as_is")
    card = page.locator(".xl-failure")
    expect(card.locator("pre").first).to_have_text(MESSAGE)
    card.get_by_text("Where and why").click()
    expect(card.locator("tbody tr")).to_have_count(3)
    expect(card.locator(".xl-clash")).to_have_text("clash")
    expect(answers(page)).to_have_text([re.compile("No answer: RuntimeError")])
    page.get_by_role("button", name="Try “Unified”").click()
    expect(answers(page).last).to_have_text("You asked: What is there?")
    expect(card).to_have_count(0)
    expect(page.locator("#strategy input").nth(2)).to_be_checked()
    expect(page.get_by_role("button", name="Try “Unified”")).to_have_count(0)
    expect(page.locator("#picture img")).to_be_visible()
    assert lab.runner.asked[1].history == ()


def test_remedies_are_shown_as_they_are_tried(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 1
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "What is there?", "as_is")
    verdicts = page.locator(".xl-failure .xl-verdict")
    expect(verdicts).to_have_text(["Result: works", "trying…", "trying…"])
    expect(answers(page)).to_have_text([re.compile("No answer: RuntimeError")])
    expect(page.locator(".xl-failure .xl-try")).to_have_count(0)  # one runs already
    card = page.locator(".xl-failure").bounding_box()
    lab.runner.go.set()
    expect(verdicts).to_have_text(["Result: works", "should work", "depends"])
    expect(page.locator(".xl-failure .xl-try")).to_have_count(3)
    now = page.locator(".xl-failure").bounding_box()
    assert card and now and (card["x"], card["y"], card["width"]) == (now["x"], now["y"], now["width"])


def test_the_difference_from_full_precision_is_shown_under_each_answer(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "What is there?", "unified")
    wait_for_runs(page, 1)
    expect(page.locator("#chat .xl-strip")).to_have_count(0)
    page.get_by_role("button", name="Difference from full precision").click()
    wait_for_runs(page, 2)
    assert [question.strategy for question in lab.runner.asked] == ["unified", "full"]
    same = "Same tokens as in full precision; their probabilities differ by at most 0.100%."
    expect(page.locator("#chat .xl-strip span")).to_have_text([same])
    expect(page.locator("#chat .xl-strip i")).to_have_count(6)
    lab.runner.answer = lambda _: "You asked nothing"
    ask(page, "What is there?", "autocast")
    wait_for_runs(page, 3)
    expect(page.locator("#chat .xl-strip span").last).to_contain_text("“asked” instead of “asked:”")
    expect(page.get_by_role("button", name="Difference from full precision")).to_have_count(0)


def test_the_message_can_be_copied_whole(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address, permissions=["clipboard-read", "clipboard-write"])
    show(page, picture)
    ask(page, "What?", "as_is")
    # The label goes back after a while; here it stays until it was seen.
    page.evaluate("""() => {
      const later = window.setTimeout;
      window.setTimeout = (what, ms, ...rest) => ms === 1500 ? 0 : later(what, ms, ...rest);
    }""")
    page.locator(".xl-failure [data-copy]").first.click()
    expect(page.locator(".xl-failure [data-copy]").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == FAILURE.message


def test_a_conversation_goes_on_and_can_be_cleared(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "one")
    expect(answers(page)).to_have_count(1)
    wait_for_runs(page, 1)
    ask(page, "two")
    expect(answers(page)).to_have_text(["You asked: one", "You asked: two"])
    wait_for_runs(page, 2)
    assert lab.runner.asked[1].history == (("one", "You asked: one"),)
    page.locator("#clear").click()
    expect(answers(page)).to_have_count(0)
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    ask(page, "three")
    wait_for_runs(page, 3)
    assert lab.runner.asked[2].history == ()


def test_stop_stops_the_model_and_keeps_what_there_is(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 4
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "a b c d e f g h i j k l m n o p q r s t")
    expect(answers(page)).to_have_text([re.compile("You asked: a b")])
    page.locator("#stop").click()
    expect(answers(page)).to_have_text([re.compile(r"You asked: a .*\(stopped\)")])
    wait_for_runs(page, 1)
    assert wait_until(lambda: lab.runner.closed == 1)
    lab.runner.held_at = None
    ask(page, "again")
    expect(answers(page).last).to_have_text("You asked: again")


def test_closing_the_page_stops_the_model(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 3
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "a b c d e f g h i j k l m n o p q r s t u v w x y z")
    expect(answers(page)).to_have_text([re.compile("You asked: a")])
    page.close()
    assert wait_until(lambda: lab.runner.closed == 1)


def test_two_visitors_get_each_their_own_answer(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.held_at = 3
    first, second = open_page(lab.address), open_page(lab.address)
    for page in (first, second):
        show(page, picture)
    ask(first, "mine one two")
    expect(answers(first)).to_have_text([re.compile("You asked")])
    ask(second, "yours three")
    expect(second.locator("#chat .xl-asked-text")).to_have_text("yours three")
    expect(second.locator("#run-status")).to_contain_text("Another run holds the model")
    expect(second.locator("#run")).to_have_text("Running…")
    lab.runner.go.set()
    expect(answers(first)).to_have_text(["You asked: mine one two"])
    expect(answers(second)).to_have_text(["You asked: yours three"])
    wait_for_runs(first, 1)
    wait_for_runs(second, 1)


def test_html_is_shown_and_never_run(lab: Lab, open_page: Open, picture: str) -> None:
    lab.runner.answer = lambda question: HOSTILE
    page = open_page(lab.address)
    show(page, picture)
    ask(page, HOSTILE)
    expect(answers(page)).to_have_text([HOSTILE])
    expect(page.locator("#chat .xl-asked-text")).to_have_text([HOSTILE])
    wait_for_runs(page, 1)
    assert page.title() == "XComposer precision lab"
    assert page.locator("#chat img:not([src^='data:image/jpeg']), #runs img, #run-status img").count() == 0


@pytest.mark.parametrize(
    ("question", "with_picture", "said"),
    [("", True, "The question is empty"), ("What?", False, "There is no picture yet")],
)
def test_a_mistake_is_said_and_loses_nothing(
    lab: Lab, open_page: Open, picture: str, question: str, with_picture: bool, said: str
) -> None:
    page = open_page(lab.address)
    if with_picture:
        show(page, picture)
    ask(page, question)
    expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
    expect(page.locator("#question textarea")).to_have_value(question)
    if not with_picture:
        show(page, picture)
    ask(page, "What?")
    expect(answers(page)).to_have_text(["You asked: What?"])
    expect(page.locator(".xl-notice")).to_have_count(0)


def test_a_file_that_is_no_picture_is_said(lab: Lab, open_page: Open, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("this is a text file")
    page = open_page(lab.address)
    page.locator("#picture input[type=file]").set_input_files(str(broken))
    expect(page.locator(".xl-notice")).to_contain_text("broken.png")
    assert str(tmp_path) not in page.locator(".xl-notice").inner_text()
    expect(page.locator("#picture img")).to_have_count(0)


def test_the_runs_download_as_csv(lab: Lab, open_page: Open, picture: str, tmp_path: Path) -> None:
    page = open_page(lab.address)
    show(page, picture)
    for number, strategy in enumerate(("autocast", "as_is"), 1):
        ask(page, "=1+1", strategy)
        wait_for_runs(page, number)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "runs.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text("utf-8-sig"), newline="")))
    assert [row["strategy"] for row in rows] == ["autocast", "as_is"]
    assert rows[0]["question"] == "'=1+1"
    assert rows[1]["failure"].endswith(MESSAGE)


def test_a_chinese_browser_gets_the_page_in_chinese(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address, locale="zh-CN")
    expect(page.locator("#run")).to_have_text("运行")
    expect(page.locator("#strategy")).to_contain_text("自动混合精度")
    expect(page.locator("#start")).to_contain_text("重现报错")
    expect(page.locator("#title")).to_contain_text("精度实验室")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page).to_have_title("XComposer 精度实验室")
    page.locator("#run").click()
    expect(page.locator(".xl-notice")).to_contain_text("还没有图片")


def test_the_switch_changes_everything_cards_too(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    ask(page, "What?", "as_is")
    expect(page.locator(".xl-failure")).to_contain_text("What cures it")
    page.locator("#language label").nth(1).click()
    expect(page.locator(".xl-failure")).to_contain_text("如何解决")
    expect(page.get_by_role("button", name="改用“自动混合精度”")).to_be_visible()
    expect(page.locator("#runs")).to_contain_text("运行记录")
    expect(answers(page)).to_have_text([re.compile("没有回答")])
    expect(page.locator("#question textarea")).to_have_value("What?")
    expect(page.locator("#strategy input").first).to_be_checked()
    english = re.sub(r"[^A-Za-z ]", " ", page.locator(".xl-left").inner_text())
    assert not re.search(r"\b(Run|Stop|Clear|Question|Strategy|Advanced|Picture|Draw)\b", english)
    page.locator("#language label").first.click()
    expect(page.locator("#run")).to_have_text("Run")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_title("XComposer precision lab")


def test_a_phone_shows_it_all_without_scrolling_sideways(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address, viewport={"width": 375, "height": 740}, has_touch=True)
    assert width_of_everything(page) == 375
    expect(page.get_by_role("button", name="See the error happen")).to_be_in_viewport()
    show(page, picture)
    ask(page, "What?", "as_is")
    expect(page.locator(".xl-failure")).to_be_visible()
    expect(page.locator("#chat")).to_be_in_viewport()
    assert width_of_everything(page) == 375
    small = page.evaluate(
        "[...document.querySelectorAll('.xl-buttons button, .xl-try')].filter(b => b.offsetHeight < 36).length"
    )
    assert small == 0
    page.locator("#flow-section > button").click()
    page.locator("#trace").click()
    row = page.locator(".xl-flow tbody tr").first
    expect(row).to_be_visible()
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.xl-flow .xl-scroll'))") == 0
    expect(row.get_by_role("cell")).to_have_count(3)  # what happens to no type is left out


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(lab: Lab, open_page: Open, picture: str, scheme: str) -> None:
    page = open_page(lab.address, color_scheme=scheme)
    show(page, picture)
    ask(page, "What?", "as_is")
    expect(page.locator(".xl-failure")).to_be_visible()
    weak = page.evaluate(CONTRAST)
    assert weak == []


def test_the_keyboard_alone_is_enough(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    show(page, picture)
    page.locator("#question textarea").focus()
    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    assert page.locator("#question textarea").input_value() == "first line\nsecond line"
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_text(["You asked: first line\nsecond line"], use_inner_text=True)
    reached = tabbed(page, 60)
    for name in ("strategy", "half", "run", "stop", "clear"):
        assert any(name in stop for stop in reached), name
    assert [s for s in reached if s in ("run", "stop", "clear")][:3] == ["run", "stop", "clear"]
    page.locator("#strategy input").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#strategy input").first).to_be_checked()


def test_what_has_the_focus_is_seen(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.locator("#question textarea").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_every_control_has_a_name(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.locator("#advanced button").first.click()
    page.locator("#model input").wait_for()
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input:not([type=file]), textarea, [role=tab], [role=region]')]
        .filter(e => e.offsetParent !== null)
        .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.title || e.labels?.length
                       || e.getAttribute('aria-labelledby')))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_a_drawing_is_a_picture(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.get_by_role("tab", name="Draw").click()
    canvas = page.locator("#drawing canvas").first
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=8)
    page.mouse.up()
    ask(page, "What did I draw?")  # the drawing is uploaded now
    expect(answers(page)).to_have_text(["You asked: What did I draw?"], timeout=60_000)
    drawn = lab.runner.asked[0].image
    assert drawn is not None
    colours = drawn.getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 1
    assert max(colours)[1] == (255, 255, 255)


def test_explain_reads_a_pasted_error(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    page.get_by_role("tab", name="Explain").click()
    page.locator("#explain").click()
    expect(page.locator("#explained")).to_contain_text("nothing to explain yet")
    page.locator("#pasted textarea").fill(f"RuntimeError: {MESSAGE}")
    page.locator("#explain").click()
    expect(page.locator("#explained .xl-known")).to_contain_text("Autocast")
    said, title = page.locator("p[role=status]:not(.xl-stage)"), page.locator("#explained h3")
    expect(said).to_contain_text(title.inner_text())
    page.locator("#language label").nth(1).click()
    expect(page.locator("#explained .xl-known")).to_contain_text("自动混合精度")
    page.locator("#pasted textarea").fill("<img src=x onerror=alert(1)> a poem")
    page.locator("#explain").click()
    expect(page.locator("#explained .xl-unknown")).to_be_visible()
    expect(said).to_contain_text(title.inner_text())
    assert page.locator("#explained img").count() == 0


def test_the_head_line_tells_once_the_lab_knows(lab: Lab, open_page: Open) -> None:
    lab.runner.known = False
    page = open_page(lab.address)
    expect(page.locator("#head-line")).to_contain_text("starting…")
    lab.runner.warm_up()
    expect(page.locator("#head-line")).to_contain_text("CPU")
    page.locator("#head-line summary").click()
    expect(page.locator("#head-line")).to_contain_text("because there is no CUDA device")


def test_the_panel_behind_the_head_line_closes(lab: Lab, open_page: Open, picture: str) -> None:
    page = open_page(lab.address)
    panel = page.locator("#head-line dl")
    for close in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.locator("#title").click(),
        lambda: page.get_by_role("tab", name="Explain").click(),
        page.go_back,
    ):
        page.locator("#head-line summary").click()
        panel.locator("dt").first.click()
        expect(panel).to_be_visible()
        close()
        expect(panel).to_be_hidden()
    lab.runner.held_at = 1
    show(page, picture)
    ask(page, "one two three four")
    expect(answers(page)).to_have_text(["You"])
    page.locator("#head-line summary").click()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator("#run")).to_have_text("Running…")
    page.keyboard.press("Escape")
    expect(answers(page)).to_have_text([re.compile("stopped")])


def test_chosen_strategies_say_what_is_cast_where(lab: Lab, open_page: Open) -> None:
    page = open_page(lab.address)
    expect(page.locator("#strategy label")).to_have_count(4)
    for strategy in STRATEGIES:
        choose(page, strategy)
        expect(page.locator("#strategy-lines p:visible")).to_have_text(text(f"strategy.{strategy}.line", "en"))


def tabbed(page: Page, times: int) -> list[str]:
    """The ids (of the nearest element that has one) that Tab reaches, from the question on."""
    page.locator("#question textarea").focus()
    reached = []
    for _ in range(times):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('[id]')?.id || ''"))
        name = page.evaluate(
            "['strategy','half'].find(i => document.getElementById(i).contains(document.activeElement)) || ''"
        )
        if name:
            reached.append(name)
    return reached


def wait_until(true: object, timeout_sec: float = 60.0) -> bool:
    """Whether `true()` becomes so within `timeout_sec`."""
    assert callable(true)
    end = time.monotonic() + timeout_sec
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = c => { canvas.clearRect(0,0,1,1); canvas.fillStyle = c; canvas.fillRect(0,0,1,1);
                      const d = canvas.getImageData(0,0,1,1).data; return [d[0],d[1],d[2],d[3]/255]; };
  const over = (a, b) => [0,1,2].map(i => a[i]*a[3] + b[i]*(1-a[3])).concat(1);
  const light = c => { const [r,g,b] = c.map(v => { v /= 255; return v <= .03928 ? v/12.92 : ((v+.055)/1.055)**2.4; });
                       return .2126*r + .7152*g + .0722*b; };
  const fill = e => rgba(getComputedStyle(e).backgroundColor);
  const ground = e => { const layers = []; for (; e; e = e.parentElement) layers.push(fill(e));
                        return layers.reverse().reduce((below, layer) => over(layer, below), [255,255,255,1]); };
  const opacity = e => { let share = 1; for (; e; e = e.parentElement) share *= getComputedStyle(e).opacity;
                         return share; };
  return [...document.querySelectorAll('.gradio-container *')]
    .filter(e => e.offsetParent && opacity(e) && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .filter(e => !e.closest('.xl-visually-hidden, [disabled], [aria-hidden=true]'))
    .map(e => { const g = ground(e), [red, green, blue, alpha] = rgba(getComputedStyle(e).color),
                t = over([red, green, blue, alpha * opacity(e)], g), [a, b] = [light(t), light(g)];
                return [(Math.max(a,b)+.05) / (Math.min(a,b)+.05), e.textContent.trim().slice(0, 40), e.className]; })
    .filter(([ratio]) => ratio < 4.5).map(r => r.join(' | '));
}"""
"""Every text whose contrast with what lies under it is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""
