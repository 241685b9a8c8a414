"""The Train tab: handlers, what it shows, its links and its endpoint."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import replace
from itertools import pairwise
from urllib.parse import parse_qsl

import pytest

from tests.finetuning.scripted import FAILURE, ScriptedTrainer, finished, probe, result_of
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import LANGUAGES, text
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning, RecipeResult
from xcomposer_ui.lesson.formats import format_named
from xcomposer_ui.ui.links import train_fields, train_link
from xcomposer_ui.ui.train_handlers import TrainSession, finetune_once, remedy_steps, steps
from xcomposer_ui.ui.views.axis import LogAxis
from xcomposer_ui.ui.views.training import training_view
from xcomposer_ui.ui.views.training_charts import StepCurve, regions, seen_by_backward, step_curves

NAMES = ("float32", "autocast_float16", "bfloat16", "float16_scaled")


def trained(*names: str) -> TrainSession:
    *_, last = steps(ScriptedTrainer(), TrainSession(), {"recipes": names, "steps": 2})
    return last


def test_a_training_is_shown_while_it_runs_and_has_a_document_at_its_end() -> None:
    sessions = list(steps(ScriptedTrainer(), TrainSession(), {"recipes": NAMES[:2], "steps": 2}))
    assert sessions[1].waiting
    assert all(session.running and session.document is None for session in sessions[:-1])
    assert not sessions[-1].running
    assert sessions[-1].document is not None
    assert [entry["recipe"] for entry in sessions[-1].document["recipes"]] == list(NAMES[:2])
    shown = training_view(sessions[3], "en")
    assert "All float32: step 1 of 2" in shown


def test_a_session_is_the_same_while_nothing_is_new() -> None:
    class Slow(ScriptedTrainer):
        def finetune(self, request: FinetuningRequest) -> Generator[Waiting | Finetuned, None, None]:
            for event in super().finetune(request):
                yield from (event, event)

    sessions = list(steps(Slow(), TrainSession(), {"recipes": NAMES[:1], "steps": 2}))
    pairs = list(pairwise(sessions[3:-1]))  # after the wait
    assert sum(one is other for one, other in pairs) == len(pairs) // 2 + 1


def test_a_mistake_is_a_notice_and_loses_nothing() -> None:
    before = trained("float32")
    (after,) = steps(ScriptedTrainer(), before, {"recipes": ()})
    assert after.notice is not None
    assert after.notice.code == "no_recipe"
    assert after.finetuning == before.finetuning
    with pytest.raises(UserError):
        finetune_once(ScriptedTrainer(), {"recipes": ("fp16",)})


def test_the_endpoint_gives_the_document() -> None:
    assert finetune_once(ScriptedTrainer(), {"recipes": ("float32",)})["recipes"][0]["accuracy_after"] == 0.9


def test_a_stop_keeps_what_is_done_and_before_the_first_step_what_was_there() -> None:
    sessions = list(steps(ScriptedTrainer(), trained("bfloat16"), {"recipes": NAMES[:2], "steps": 2}))
    assert sessions[0].ended(stopped=True).finetuning == trained("bfloat16").finetuning
    stopped = sessions[4].ended(stopped=True)
    assert stopped.finetuning is not None
    assert stopped.finetuning.stopped
    assert stopped.document is not None
    assert "Stopped" in training_view(stopped, "en")


def test_a_failure_offers_its_remedy_which_joins_the_results() -> None:
    before = trained("float32", "float16_scaled")
    assert before.remedies == ("autocast_float16",)
    runner = ScriptedTrainer()
    *_, after = remedy_steps(runner, before, "autocast_float16")
    assert [request.recipes for request in runner.asked] == [("autocast_float16",)]
    assert after.finetuning is not None
    assert [r.recipe for r in after.finetuning.recipes] == ["float32", "float16_scaled", "autocast_float16"]
    assert after.finetuning.request.recipes == ("float32", "float16_scaled", "autocast_float16")
    assert after.remedies == ()
    assert list(remedy_steps(runner, after, "autocast_float16")) == []  # a second click


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_measured_is_shown(language: str) -> None:
    shown = training_view(trained(*NAMES), language)
    for part in ("4.00", "0.0200", "90%", "42.0 MiB", "65536", "model.layers.0.attention", "unscale FP16", "6.00%"):
        assert part in shown
    assert "{" not in shown
    assert str(text("train.memory.parts", language)) in shown


def test_a_recipe_that_fails_before_its_first_step_has_no_charts() -> None:
    assert "<svg" not in training_view(trained("float16_scaled"), "en")


def test_what_is_not_finite_or_not_measured_is_a_gap() -> None:
    broken = RecipeResult("float16", losses=(4.0, None), gradient_norms=(1.0, None), failure=FAILURE)
    found = Finetuning(FinetuningRequest(steps=2), "cpu", (broken, replace(finished("float32"), memory=None)))
    shown = training_view(TrainSession(found), "en")
    assert "NaN" in shown
    assert "—" in shown
    assert training_view(TrainSession(), "en").count("<p") == 1


@pytest.mark.parametrize(("highest", "left_out"), [(1, 0), (2, 0), (3, 2)])
def test_an_axis_with_few_labels_keeps_them_all_in_a_narrow_chart(highest: int, left_out: int) -> None:
    curve = StepCurve("a", "float32", "solid", (1.0, 50.0))
    labels = re.findall(r'<text[^>]*text-anchor="end">', step_curves("norm", [curve], LogAxis(0, highest), 2, "en"))
    assert len(labels) == highest + 1
    assert sum("xl-crowded" in label for label in labels) == left_out


def test_the_range_of_float16_has_four_parts_and_bfloat16_one() -> None:
    assert [part.name for part in regions(format_named("float16"))] == ["zero", "subnormal", "normal", "infinite"]
    assert [part.name for part in regions(format_named("bfloat16"))] == ["normal"]
    assert sum(part.width for part in regions(format_named("float16"))) == pytest.approx(1)


def test_a_loss_scale_moves_the_histogram() -> None:
    scaled = seen_by_backward(result_of("autocast_float16"))
    unscaled = probe("autocast_float16").histogram
    assert (scaled.lowest, scaled.counts) == (unscaled.lowest + 16, unscaled.counts)


def test_a_link_restores_the_settings() -> None:
    request = FinetuningRequest(recipes=NAMES, kind="place", optimizer="sgd", steps=7, loss_divisor=1024.0, seed=3)
    fields = train_fields(dict(parse_qsl(train_link(request).removeprefix("?"))))
    assert fields is not None
    assert FinetuningRequest(**fields) == request
    assert train_fields({"ask": "x"}) == {}
    odd = {"train": "weather", "recipes": "fp16", "steps": "0", "optimizer": "lion", "learning_rate": "nan"}
    assert train_fields(odd) == {}
