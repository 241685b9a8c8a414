"""Fine-tuning on a card: recipes are trained and measured, their answers are counted, mistakes fail with a reason."""

from __future__ import annotations

import pytest

from xcomposer_ui.backends.finetuning.execution import finetuning_steps
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.finetuning.request import FinetuningRequest

pytestmark = pytest.mark.cuda

TRAINED = tuple(name for name in RECIPES if name != "float16")  # in which AdamW divides by zero


@pytest.mark.slow
def test_recipes_are_trained_measured_and_judged(device: str) -> None:
    *_, last = finetuning_steps(FinetuningRequest(recipes=TRAINED, steps=3, batch=2), device)
    assert (last.stage, last.device) == ("finished", device)
    for result in last.recipes:
        assert result.failure is None, (result.recipe, result.failure)
        assert len(result.losses) == 3
        assert result.memory is None or result.memory.peak is not None, result.recipe
        for accuracy in (result.accuracy_before, result.accuracy_after):
            assert accuracy is not None and 0 <= accuracy <= 1, result.recipe


@pytest.mark.parametrize("recipe", ["float16_scaled", "no_autocast"])
def test_mistakes_fail_with_an_explanation(device: str, recipe: str) -> None:
    *_, last = finetuning_steps(FinetuningRequest(recipes=(recipe,), steps=2, batch=2, with_accuracy=False), device)
    (result,) = last.recipes
    assert result.failure is not None
    assert result.failure.explanation.title
