"""Predictions are asked once for a shape, and pairs are made of what was measured."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from tests.planning.scripted import ScriptedPlans
from tests.requests import result_of
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning import predictions as module
from xcomposer_ui.planning.plan import RunShape
from xcomposer_ui.planning.predictions import Predictions, prediction_error_of, shape_of
from xcomposer_ui.ui.ask_results import pairs_of, pairs_shown
from xcomposer_ui.ui.ask_tab import AskTab
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.preflight import preflight
from xcomposer_ui.ui.session import Session, SessionRun

MEASURED = Measurement(peak_memory_bytes=1000, peak_memory_kind="cpu_tensors", prompt_tokens=80, new_tokens=9)
RESULT = result_of("full", MEASURED, text="How many?!!?", model="m", answer="yes", picture_size=(64, 48))
SHAPE = RunShape("m", "full", "float16", (64, 48), 12, 9, device="cpu", prompt_tokens=80)


def test_a_shape_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunShape] = []
    monkeypatch.setattr(module, "MOST_CACHED", 2)
    predictions = Predictions(lambda shape: asked.append(shape) or 7)  # type: ignore[func-returns-value]
    assert predictions.cached(SHAPE) is None
    assert (predictions.of(SHAPE), predictions.of(SHAPE), predictions.cached(SHAPE)) == (7, 7, 7)
    for tokens in (1, 2):
        predictions.of(replace(SHAPE, new_tokens=tokens))
    assert len(asked) == 3
    assert predictions.cached(SHAPE) is None  # the oldest went


def test_a_runs_shape_is_what_it_was_given_and_what_it_came_to() -> None:
    assert shape_of(RESULT) == SHAPE
    failed = replace(RESULT, measurement=replace(MEASURED, prompt_tokens=None, new_tokens=None))
    assert shape_of(failed) == replace(SHAPE, prompt_tokens=None, new_tokens=1)
    assert shape_of(replace(RESULT, measurement=Measurement())) is None
    later = replace(RESULT, request=replace(RESULT.request, history=(("What?", "A cat."),)))
    assert shape_of(later) is None


def test_a_pair_is_predicted_beside_measured() -> None:
    pair = prediction_error_of(RESULT, lambda shape: 990)
    assert pair is not None
    assert (pair.predicted_bytes, pair.measured_bytes, pair.kind) == (990, 1000, "cpu_tensors")
    assert pair.error == pytest.approx(-0.01)
    assert prediction_error_of(RESULT, lambda shape: None) is None
    assert prediction_error_of(replace(RESULT, measurement=Measurement()), lambda shape: 990) is None


def test_the_newest_run_is_predicted_and_older_pairs_are_kept() -> None:
    asked: list[RunShape] = []
    predictions = Predictions(lambda shape: asked.append(shape) or 990 + shape.new_tokens)  # type: ignore[func-returns-value]
    first = SessionRun(RESULT.request, RESULT)
    second = SessionRun(RESULT.request, replace(RESULT, measurement=replace(MEASURED, new_tokens=3)))
    assert [p.new_tokens for p in pairs_of((first,), predictions)] == [9]
    assert [p.new_tokens for p in pairs_of((first, second), predictions)] == [9, 3]
    assert len(asked) == 2
    shown = pairs_shown((first, second), predictions, "en")
    assert "993 B predicted, 1000 B measured (−0.70 %)" in shown
    assert shown.count("<tr ") == 3
    assert "实测" in pairs_shown((first, second), predictions, "zh", predict_newest=False)
    assert pairs_shown((), predictions, "en") == ""


def test_nothing_is_shown_of_earlier_runs_until_the_newest_is_predicted() -> None:
    predictions = Predictions(lambda shape: 990 + shape.new_tokens)
    first = SessionRun(RESULT.request, RESULT)
    second = SessionRun(RESULT.request, replace(RESULT, measurement=replace(MEASURED, new_tokens=3)))
    later = replace(RESULT, request=replace(RESULT.request, history=(("What?", "A cat."),)))
    assert "999 B predicted" in pairs_shown((first,), predictions, "en")
    assert pairs_shown((first, second), predictions, "en", predict_newest=False) == ""
    assert "993 B predicted" in pairs_shown((first, second), predictions, "en")
    assert pairs_shown((first, second, SessionRun(later.request, later)), predictions, "en") == ""


def test_what_cannot_be_predicted_says_why() -> None:
    def broken(shape: RunShape) -> int:
        raise UserError("plan_broke_off", what="exit status -9")

    assert "exit status -9" in pairs_shown((SessionRun(RESULT.request, RESULT),), Predictions(broken), "en")


def test_the_page_says_why_its_newest_run_cannot_be_predicted() -> None:
    class Broken(ScriptedPlans):
        def predict(self, shape: RunShape, gone: object = None) -> int:
            raise UserError("plan_broke_off", what="exit status -9")

    runner, run = ScriptedRunner(), SessionRun(RESULT.request, RESULT)
    checks = preflight(runner, Broken())  # type: ignore[arg-type]  # the doubles have the interfaces
    with gr.Blocks():
        page = Page(Localization("en"), Settings(), runner, checks, gr.Radio(["en", "zh"]))  # type: ignore[arg-type]
        tab = AskTab(page)
    visitor = SimpleNamespace(session_hash="a visitor")
    shown = tab._predicted(Session(turns=(run,), runs=(run,)), "en", visitor)  # type: ignore[arg-type]
    assert "exit status -9" in shown[tab.results.pairs]
