"""The Models tab: the table, and what a choice leads to, without a browser."""

from __future__ import annotations

import gradio as gr
import pytest

from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Status, Waiting
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.catalogue import Entry
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.model_picker import ModelPicker
from xcomposer_ui.ui.views.models import models_table
from xcomposer_ui.ui.views.run_status import loading_view

STATUS = Status("embedded", "cpu", "float16", loaded=(("embedded", "float16"),))
SMALL = Entry("embedded", here=True, disk_bytes=4 << 20, parameters=2_000_000, cache_bytes=1 << 20)
LARGE = Entry("org/<large>", here=False, parameters=9_000_000_000, cache_bytes=1 << 30)


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def picker(runner: ScriptedRunner) -> ModelPicker:
    with gr.Blocks():
        settings = Settings(models=("embedded", "org/model"))
        return ModelPicker(Localization("en"), settings, runner, gr.Tab())  # type: ignore[arg-type]  # the double fits


def test_the_table_says_sizes_what_fits_and_what_is_in_memory() -> None:
    table = models_table((SMALL, LARGE), STATUS, 8 << 30, "en")
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
    assert "in 16 bits only" in models_table((LARGE,), STATUS, 24 << 30, "en")
    assert "需下载" in models_table((LARGE,), STATUS, None, "zh")


def test_a_stage_shows_its_share() -> None:
    assert "60%" in loading_view(Loading("org/model", "float16", 0.6, "download"), None, "en")
    assert "Downloading org/model" in loading_view(Loading("org/model", "float16", 0.6, "download"), None, "en")
    assert "Loading org/model in float16" in loading_view(Loading("org/model", "float16"), None, "en")
    assert "Another run" in loading_view(Waiting(), None, "en")
    assert "is in memory" in loading_view(None, "model", "en")


def test_a_choice_is_loaded_step_by_step(picker: ModelPicker, runner: ScriptedRunner) -> None:
    steps = list(picker._loaded("org/model", "en"))
    assert [step[picker.stop]["visible"] for step in steps] == [True, True, False, False]
    assert "60%" in steps[1][picker.stage]
    assert steps[-1]["done"]
    assert steps[-1][picker.choice] == "org/model"
    assert runner.model == "org/model"


def test_what_cannot_be_had_is_said_and_the_choice_goes_back(picker: ModelPicker, runner: ScriptedRunner) -> None:
    runner.refuse = UserError("hub_gated", name="org/model")
    (step,) = picker._loaded("org/model", "zh")
    assert "受限模型" in step[picker.notice]
    assert step[picker.choice] == "embedded"
    assert "done" not in step
