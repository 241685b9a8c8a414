"""Plans, predictions and the refusal of what does not fit, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Serve
from tests.browser.visitor import ask, show, wait_for_runs, width_of_everything
from tests.checkpoints import tiny_model, write_checkpoint
from tests.planning.scripted import GIB
from tests.ui.scripted import ScriptedRunner
from tests.ui.test_preflight import Tight
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.runtime.runner import Runner

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(serve: Serve) -> str:
    runner = ScriptedRunner()
    runner.machine.check()
    return serve(runner, Settings(port=0))


def test_a_plan_is_shown_with_its_figures_and_the_machine(address: str, open_page: Open) -> None:
    page = open_page(address)
    page.get_by_role("tab", name="Plan", exact=True).click()
    page.locator("#plan").click()
    expect(page.locator(".xl-memory-bars")).to_have_count(2)
    expect(page.locator("p[role=status]")).to_have_text(page.locator("#planned .xl-headline").inner_text())
    expect(page.locator('[data-strategy="unified"]')).to_contain_text("19.0 GiB")
    page.locator("#check-section button").first.click()
    expect(page.locator("#check tbody tr").first).to_contain_text("Python")
    assert width_of_everything(page) <= 1280


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("batch", "0", "batch is 0; it must be between 1 and"),
        ("batch", "1.5", "batch is 1.5; it must be a whole number."),
        ("prompt-tokens", "-2", "prompt_tokens is -2; it must be between 1 and"),
        ("memory", "1e-9", "memory is 0.000000001; it must be between 0.001 and 1000000."),
        ("image", "0x5", "image width is 0; it must be between 1 and"),
    ],
)
def test_a_wrong_value_is_refused_in_words_at_its_field(
    address: str, open_page: Open, field: str, typed: str, sentence: str
) -> None:
    page = open_page(address)
    page.get_by_role("tab", name="Plan", exact=True).click()
    box = page.locator(f"#plan-{field}").locator("input, textarea")
    box.fill(typed)
    page.locator("#plan").click()
    expect(page.locator("#plan-notice [role=alert]")).to_contain_text(sentence)
    expect(box).to_be_focused()
    expect(page.locator(".toast-body")).to_have_count(0)
    box.fill("3")
    expect(page.locator("#plan-notice [role=alert]")).to_have_count(0)


def test_fine_tuning_is_planned_with_its_own_controls_and_answered_first(address: str, open_page: Open) -> None:
    page = open_page(address)
    page.get_by_role("tab", name="Plan", exact=True).click()
    expect(page.locator("#plan-lora-rank")).to_have_count(0)
    page.get_by_label("Fine-tuning", exact=True).click()
    expect(page.locator("#plan-lora-rank")).to_be_visible()
    expect(page.locator("#plan-half")).to_have_count(0)
    page.locator("#plan").click()
    expect(page.locator(".xl-train-answers")).to_contain_text("LoRA of rank 64 with checkpointing: yes")
    expect(page.locator(".xl-memory-bars")).to_have_count(4)
    assert width_of_everything(page) <= 1280


def test_a_run_shows_what_was_predicted(address: str, open_page: Open, picture: str) -> None:
    page = open_page(address)
    show(page, picture)
    ask(page, "What?")
    wait_for_runs(page, 1)
    expect(page.locator("#prediction-errors summary")).to_contain_text("14.3 MiB predicted, 14.7 MiB measured")


def test_what_does_not_fit_waits_to_be_asked_for(serve: Serve, open_page: Open, picture: str) -> None:
    runner = ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")
    page = open_page(serve(runner, Settings(model="org/large", port=0), Tight()))
    show(page, picture)
    ask(page, "What?", "full")
    expect(page.locator("#does-not-fit")).to_contain_text("was not started")
    assert runner.asked == []
    page.get_by_role("button", name="Run “Autocast”").click()
    wait_for_runs(page, 1)
    expect(page.locator("#does-not-fit .xl-notice")).to_have_count(0)
    ask(page, "What?", "full")
    page.get_by_role("button", name="Run anyway").click()
    wait_for_runs(page, 2)
    assert [request.strategy for request in runner.asked] == ["autocast", "full"]


class Cramped(Runner):
    """A real runner on a machine with little memory."""

    def memory_budget(self) -> MemoryBudget | None:
        return None if super().memory_budget() is None else MemoryBudget("cpu", 1 << 21)


def test_tiles_are_asked_for_of_a_model_that_has_them_and_fewer_are_offered_where_many_do_not_fit(
    serve: Serve, open_page: Open, picture: str, tmp_path: Path
) -> None:
    single = str(write_checkpoint(tmp_path / "single"))
    model = str(write_checkpoint(tmp_path / "tiled", tiny_model(seed=4, tiles="2.5")))
    settings = Settings(model=model, models=(model, single), port=0)
    page = open_page(serve(Cramped(settings), settings, Tight(tiles=2)))
    show(page, picture)
    page.locator("#advanced button").first.click()
    field = page.locator("#hd-num input")
    expect(field).to_have_value("0")
    field.fill("3")
    page.get_by_label("number input for New tokens, at most").first.fill("8")  # random weights go on to the last one
    ask(page, "What?", "full")
    page.get_by_role("button", name="Run with at most 2 tiles").click()
    wait_for_runs(page, 1)
    expect(field).to_have_value("2")
    link = page.locator(".xl-downloads [data-copy-link^='?ask']").get_attribute("data-copy-link")
    assert link is not None and "hd_num=2" in link
    page.locator("#model input").click()
    page.get_by_role("option", name="single").click()
    expect(field).to_have_count(0)
    ask(page, "What?", "unified")  # the tiles have gone with the field: this model would refuse them
    wait_for_runs(page, 2)
