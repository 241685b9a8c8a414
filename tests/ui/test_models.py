"""The Models tab: the table, and what a choice leads to, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import gradio as gr
import pytest

from tests.planning.scripted import ScriptedPlans
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Status, Waiting
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.planning.catalogue import Entry
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import Plan, PlanRequest
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.model_picker import ModelPicker
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.preflight import preflight
from xcomposer_ui.ui.views.models import models_table
from xcomposer_ui.ui.views.run_status import loading_view

STATUS = Status("embedded", "cpu", "float16", loaded=(("embedded", "float16"),))
SMALL = Entry("embedded", is_local=True, disk_bytes=4 << 20, parameters=2_000_000, cache_bytes=1 << 20)
LARGE = Entry("org/<large>", is_local=False, parameters=9_000_000_000, cache_bytes=1 << 30)


class FullDoesNotFit(ScriptedPlans):
    def plan(self, request: PlanRequest, gone: object = None) -> Plan:
        plan = super().plan(request)
        strategies = (replace(s, fits_memory="full" not in s.strategy) for s in plan.strategies)
        return replace(plan, strategies=tuple(strategies))


def picker_of(runner: ScriptedRunner, plans: ScriptedPlans, *models: str) -> ModelPicker:
    checks = preflight(runner, plans)  # type: ignore[arg-type]  # the doubles have the interfaces
    page = Page(Localization("en"), Settings(models=models), runner, checks, gr.Radio(["en", "zh"]))  # type: ignore[arg-type]
    return ModelPicker(page, gr.Tab(), gr.HTML(), [gr.Dropdown()])


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def picker(runner: ScriptedRunner) -> ModelPicker:
    with gr.Blocks():
        return picker_of(runner, ScriptedPlans(), "embedded", "org/model")


def test_a_folder_is_called_by_its_name_though_a_text_s_key_is_the_same(runner: ScriptedRunner) -> None:
    with gr.Blocks():
        picker = picker_of(runner, ScriptedPlans(), "embedded", "/srv/copy")
    assert ("copy", "/srv/copy") in picker.choice.choices
    assert all("choices" not in texts for part, texts in picker.page.words._bound if part is picker.choice)


def test_the_table_says_sizes_what_fits_and_what_is_in_memory() -> None:
    fitting = {"embedded": tuple(STRATEGIES), LARGE.name: ()}
    table = models_table((SMALL, LARGE), STATUS, fitting, "en")
    small, large = table.split("<tr data-model=")[1:]
    assert "4.00 MiB" in small
    assert "every strategy" in small
    assert "in memory" in small
    assert "float16" in small
    assert "<large>" not in table
    assert "—" in large
    assert "17.8 GiB" in large  # 9 billion in 16 bits, and the cache
    assert ">no<" in large
    assert "to be downloaded" in large
    assert "no model there" in models_table((Entry("/nope/x", is_local=False),), STATUS, {}, "en")
    halves = ("as_is", "autocast", "unified")
    assert "in 16 bits only" in models_table((LARGE,), STATUS, {LARGE.name: halves}, "en")
    assert "Unified, Full precision" in models_table((LARGE,), STATUS, {LARGE.name: ("unified", "full")}, "en")
    unknown = models_table((LARGE,), STATUS, {}, "zh")
    assert "需下载" in unknown
    assert re.search("<td[^>]*>—</td>", unknown)


def test_what_fits_is_what_the_plan_says(runner: ScriptedRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    runner.has_room = MemoryBudget("cpu", 24 << 30)
    plans = FullDoesNotFit()
    with gr.Blocks():
        picker = picker_of(runner, plans, "internlm/internlm-xcomposer2-vl-7b", "org/never-heard-of")
    assert "in 16 bits only" not in picker._table("en")
    table, last = picker.planned("en")  # the embedded model certainly fits, and of the other nothing is known
    assert "in 16 bits only" in table
    assert "every strategy" in table
    assert [request.model for request in plans.asked] == ["internlm/internlm-xcomposer2-vl-7b"]
    # Gradio empties the outputs of a generator that yields nothing.
    assert list(picker.planned("en")) == [table] == [last] == [picker._table("en")]


def test_a_stage_shows_its_share() -> None:
    assert "60%" in loading_view(Loading("org/model", "float16", 0.6, "download"), None, "en")
    assert "Downloading org/model" in loading_view(Loading("org/model", "float16", 0.6, "download"), None, "en")
    assert "Loading model in float16" in loading_view(Loading("/srv/model", "float16"), None, "en")
    assert "Another run" in loading_view(Waiting(), None, "en")
    assert "is in memory" in loading_view(None, "model", "en")


def test_a_choice_is_loaded_step_by_step(picker: ModelPicker, runner: ScriptedRunner) -> None:
    steps = list(picker._loaded("org/model", "en"))
    assert [step[picker.stop]["visible"] for step in steps] == [True, True, False, False]
    assert "60%" in steps[1][picker.stage]
    assert steps[-1][picker.others[0]] == "org/model" and picker.line in steps[-1]
    assert steps[-1][picker.choice] == "org/model"
    assert runner.model == "org/model"


def test_what_cannot_be_had_is_said_and_the_choice_goes_back(picker: ModelPicker, runner: ScriptedRunner) -> None:
    runner.refuse = UserError("hub_gated", name="org/model")
    (step,) = picker._loaded("org/model", "zh")
    assert "受限模型" in step[picker.notice]
    assert step[picker.choice] == "embedded"
    assert picker.line not in step and picker.others[0] not in step
