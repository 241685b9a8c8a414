"""The sentence on each recipe, from its figures, in both languages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.finetuning.scripted import FAILURE, finished
from tests.planning.machines import facts
from xcomposer_ui.core.messages import LANGUAGES
from xcomposer_ui.core.metrics import metric_of
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import AVERAGED_LOSSES, Finetuning, RecipeResult
from xcomposer_ui.finetuning.verdicts import emulation_notes, verdict
from xcomposer_ui.planning.hardware import checked


def said(result: RecipeResult, *others: RecipeResult, language: str = "en") -> str:
    found = verdict(result, Finetuning(FinetuningRequest(), "cpu", (*others, result)))
    return "" if found is None else found.in_language(language)


@pytest.mark.parametrize(
    ("after", "part"),
    [(0.9, "as well as float32"), (0.85, "as well as float32"), (0.8, "less than float32"), (1.0, "more than float32")],
)
def test_a_recipe_is_compared_with_float32(after: float, part: str) -> None:
    sentence = said(finished("bfloat16", after), finished("float32"))
    assert part in sentence
    assert f"{after * 100:.0f} of 100" in sentence
    assert "(float32: 90)" in sentence


def test_without_float32_there_is_no_comparison() -> None:
    assert said(finished("bfloat16")).startswith("90 of 100")
    assert said(finished("float32")).startswith("90 of 100")


def test_where_float32_did_not_learn_nothing_is_as_good_as_float32() -> None:
    assert "Learned little or nothing, as did float32: 0 of 100" in said(
        finished("bfloat16", 0.0), finished("float32", 0.0)
    )
    assert "Learned little or nothing: 5 of 100" in said(finished("float32", 0.05))
    assert "more than float32" in said(finished("bfloat16", 0.5), finished("float32", 0.0))


def test_the_loss_says_what_it_is_the_mean_of() -> None:
    assert "mean loss of the last 2 steps 2.01" in said(finished("float32"))
    long = replace(finished("float32"), losses=(9.0, *(2.0,) * AVERAGED_LOSSES))
    assert "mean loss of the last 5 steps 2.00" in said(long)
    assert str(AVERAGED_LOSSES) in metric_of("final_loss").heading


def test_underflow_and_swallowed_updates_are_named_where_they_matter() -> None:
    assert "Less than 1%" not in said(finished("bfloat16", zero=100, swallowed=450))
    assert "13.00% of its gradients underflow, and 50.00% of its updates" in said(
        finished("bfloat16", zero=100, swallowed=450)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_is_named_with_its_step(language: str) -> None:
    failed = RecipeResult("float16_scaled", losses=(4.0, 3.0), failure=FAILURE)
    assert "3" in said(failed, language=language)
    assert "GradScaler met half gradients" in said(failed, language=language)


def test_what_runs_or_was_stopped_has_no_verdict() -> None:
    assert said(RecipeResult("float32", losses=(4.0,))) == ""


def test_a_type_that_the_processor_lacks_is_named() -> None:
    slow = checked(facts(cpu_flags=frozenset()))
    both = emulation_notes(FinetuningRequest(), "cpu", slow)
    assert [note.facts["dtype"] for note in both] == ["float16", "bfloat16"]
    assert emulation_notes(FinetuningRequest(recipes=("float32",)), "cpu", slow) == ()
    assert emulation_notes(FinetuningRequest(), "cpu", None) == ()
