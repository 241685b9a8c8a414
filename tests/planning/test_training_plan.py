"""Plans of fine-tuning: requests, what fits which card, in words and as JSON, on the page and on the command line."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.planning.scripted import ScriptedPlans, a_training_plan
from xcomposer_ui.__main__ import main
from xcomposer_ui.cli.plan import training_as_text
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.planning.plan import PlanRequest
from xcomposer_ui.planning.training_answer import answers
from xcomposer_ui.planning.training_plan import (
    TrainingPlanRequest,
    best_fit_here,
    best_fits,
    training_plan_as_json,
)
from xcomposer_ui.ui.plan_handlers import PlanSession, filled_in, planned, request_of
from xcomposer_ui.ui.views.plan import plan_view

PLAN = a_training_plan(TrainingPlanRequest("m<b>"))
STATUS = Status("embedded", "cpu", "float16")


@pytest.mark.parametrize(
    ("change", "code"),
    [({"optimizer": "adagrad"}, "unknown_setting"), ({"lora_rank": 0}, "out_of_range"), ({"batch": 0}, "out_of_range")],
)
def test_a_request_beyond_its_limits_is_a_sentence(change: dict[str, Any], code: str) -> None:
    with pytest.raises(UserError) as caught:
        TrainingPlanRequest("embedded", **change)
    assert caught.value.code == code


def test_the_best_method_of_a_card_is_the_first_that_any_recipe_fits_by() -> None:
    by_card = {fit.memory: fit for fit in best_fits(PLAN)}
    assert by_card["16 GB"].method is None
    card = by_card["24 GB"]
    assert card.method is not None and card.method.name == "lora_checkpointing"
    assert [entry.recipe for entry, _ in card.recipes] == ["float16", "bfloat16", "bfloat16_master"]
    assert by_card["32 GB"].method is not None and by_card["32 GB"].method.name == "lora"
    assert by_card["80 GB"].method is not None and by_card["80 GB"].method.name == "full"


def test_free_memory_of_the_host_is_compared_with_live_tensors() -> None:
    fit = best_fit_here(PLAN)
    assert fit is not None and fit.method is not None and fit.method.name == "lora_checkpointing"
    assert all(needed == entry.total_bytes for entry, needed in fit.recipes)
    assert best_fit_here(replace(PLAN, memory_name=None)) is None


def test_the_answer_comes_first_and_says_no_or_yes_with_a_figure() -> None:
    told = {answer.memory: answer.sentence for answer in answers(PLAN, "en")}
    assert next(iter(told)) == "24.0 GiB (free here)"
    assert told["8 GB, 12 GB, 16 GB"] == "No: the least that is needed is 20.6 GiB"
    assert told["24 GB"].startswith("Full fine-tuning: no. LoRA of rank 64 with checkpointing: yes, “All float16” 20.6")
    assert "LoRA of rank 64: yes, under every recipe, 26.6 GiB to 42.6 GiB" in told["48 GB"]
    assert told["80 GB, 141 GB"].startswith("Full fine-tuning: yes, “All float16” 71.6 GiB")
    assert [a.fits for a in answers(PLAN, "zh")] == [a.fits for a in answers(PLAN, "en")]


def test_the_terminal_has_a_line_for_each_recipe_and_method() -> None:
    lines = training_as_text(PLAN).splitlines()
    assert sum(line.split(" ")[0] in RECIPES for line in lines) == 4 * len(RECIPES)
    assert lines.index(next(line for line in lines if line.startswith("24 GB:"))) < 8


def test_the_json_has_every_figure_and_the_cards() -> None:
    told = training_plan_as_json(PLAN)
    entry = next(e for e in told["recipes"] if (e["recipe"], e["method"]) == ("bfloat16", "lora_checkpointing"))
    assert (entry["lora_rank"], entry["checkpointing"], entry["peak_phase"]) == (64, True, "backward")
    assert entry["total_bytes"] == entry["phases"]["backward"]["total_bytes"]
    assert told["cards"]["24 GB"]["recipes"]["bfloat16"] == entry["on_card_bytes"]
    assert told["cards"]["8 GB"] == {"method": None, "recipes": {}}


def test_a_form_of_fine_tuning_becomes_a_request() -> None:
    form = {
        "model": "embedded", "image": "640x480", "batch": 2, "what": "train", "optimizer": "sgd", "lora_rank": 0,
        "trains_tower": True, "prompt_tokens": 5, "new_tokens": 6,
    }  # fmt: skip
    found = request_of(filled_in(form), Settings(), STATUS)
    assert found == TrainingPlanRequest(
        "embedded", (640, 480), None, 5, 6, 2, "float16", "cpu", optimizer="sgd", trains_tower=True
    )
    assert type(request_of(filled_in({**form, "what": "answer"}), Settings(), STATUS)) is PlanRequest


def test_a_mistake_is_a_notice_and_nothing_is_planned() -> None:
    plans = ScriptedPlans()
    session = planned(plans, {"model": "embedded", "what": "train", "lora_rank": 99_999}, Settings(), STATUS)
    assert session.notice is not None and session.notice.code == "out_of_range"
    assert plans.asked == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_the_answer_then_every_figure(language: str) -> None:
    shown = plan_view(PlanSession(PLAN), language)
    assert "m&lt;b&gt;" in shown
    assert shown.index("xl-answers") < shown.index("<figure")
    assert shown.count("data-recipe=") == 4 * len(RECIPES)
    assert shown.count("<figure") == 4
    row = re.search(r'<tr data-recipe="bfloat16" role="row">(.*?)</tr>', shown)
    assert row is not None
    assert re.findall(r'xl-number">([^<]*)<', row[1])[:5] == [
        "16.0 GiB",
        "16.0 GiB",
        "32.0 GiB",
        "7.00 GiB",
        "71.0 GiB",
    ]


@pytest.mark.parametrize("wrong", [["--optimizer", "adagrad"], ["--lora-rank", "0"], ["--calibrate"]])
def test_a_mistake_on_the_command_line_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--train", *wrong]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
