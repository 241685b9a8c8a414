"""Fine-tuning beside plain loops: losses, the scaler's skips, equal runs, the served model, stops, failures."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.backends.finetuning.loops import SMALL, PlainLoop, finetuned, run
from xcomposer_ui.backends.finetuning.learner import Learner
from xcomposer_ui.backends.finetuning.recipe_training import NON_FINITE, RecipeTraining, probed_steps
from xcomposer_ui.core.events import Finished, Waiting
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.finetuning.recipes import MISTAKES
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, finetuning_as_json
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.training.batching import AnswerLogits

PLAIN = {
    "float32": (torch.float32, None, False, False),
    "autocast_bfloat16": (torch.float32, torch.bfloat16, False, False),
    "bfloat16": (torch.bfloat16, None, False, False),
    "bfloat16_master": (torch.bfloat16, None, False, True),
}
SLOW = {
    "autocast_float16": (torch.float32, torch.float16, True, False),
    "autocast_float16_unscaled": (torch.float32, torch.float16, False, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", PLAIN | SLOW)
def test_losses_are_those_of_a_plain_loop(name: str, optimizer: str) -> None:
    if name in SLOW and optimizer == "sgd":
        pytest.skip("the optimizer updates float32 weights as in the other recipes; float16 is slow on most CPUs")
    request = FinetuningRequest(recipes=(name,), optimizer=optimizer, **SMALL)
    weights, autocast, scaled, master = (PLAIN | SLOW)[name]
    plain = PlainLoop(request, weights, autocast, scaled=scaled, master=master)
    (result,) = finetuned(request).recipes
    assert result.losses == tuple(plain.losses)
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in plain.first_gradients.values()))
    if math.isfinite(norm):
        assert result.gradient_norms[0] == pytest.approx(norm / plain.scales[0], rel=1e-5)
    else:  # the scale is too large at first
        assert result.gradient_norms[0] is None
    assert result.finished
    assert result.failure is None


@pytest.mark.slow
def test_skipped_steps_are_those_of_the_scaler() -> None:
    # A loss of this size times 65536 overflows float16 at first.
    request = FinetuningRequest(recipes=("autocast_float16",), learning_rate=0.01, seed=3, **SMALL)
    plain = PlainLoop(request, torch.float32, torch.float16, scaled=True)
    (result,) = finetuned(request).recipes
    assert result.loss_scales == tuple(plain.scales[:-1])
    assert result.skipped_steps == round(math.log2(plain.scales[0] / plain.scales[-1]))


@pytest.mark.slow
def test_equal_seeds_give_equal_runs_and_others_do_not() -> None:
    one, other, third = (finetuning_as_json(run("bfloat16", seed=seed)) for seed in (1, 1, 2))
    for document in (one, other, third):
        for recipe in document["recipes"]:
            del recipe["step_sec"]
    assert one == other
    assert one["recipes"][0]["losses"] != third["recipes"][0]["losses"]


@pytest.mark.slow
def test_the_served_model_is_untouched_to_the_bit() -> None:
    runner = Runner(Settings())
    runner.warm_up()
    (served,) = runner._backend._models.values()  # type: ignore[union-attr]
    before = {name: tensor.clone() for name, tensor in served.state_dict().items()}
    *_, last = runner.finetune(FinetuningRequest(recipes=("float32", "bfloat16"), **SMALL))
    assert isinstance(last, Finetuned)
    assert all(result.finished for result in last.finetuning.recipes)
    after = served.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.grad is not None for parameter in served.parameters())
    assert not served.training


def test_a_stop_ends_the_run_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, steps = Runner(Settings()), []
    one_step = RecipeTraining._one_step
    monkeypatch.setattr(RecipeTraining, "_one_step", lambda *given: steps.append(one_step(*given)))
    events = runner.finetune(FinetuningRequest(recipes=("float32",), **{**SMALL, "steps": 500}))
    for event in events:
        if isinstance(event, Finetuned) and event.finetuning.recipes and event.finetuning.recipes[-1].losses:
            break
    events.close()
    idle = threading.Event()
    runner._worker.submit(idle.set)
    idle.wait()
    assert 0 < len(steps) < 500


@pytest.mark.slow
def test_other_runs_come_between_two_steps_and_change_nothing() -> None:
    """As a comparison does, a training gives way to who waits; its figures are those of an undisturbed one."""
    runner, request = Runner(Settings()), FinetuningRequest(recipes=("bfloat16",), **{**SMALL, "steps": 8})
    training, losses = runner.finetune(request), []
    while not losses:
        event = next(training)
        losses = [r.losses for r in event.finetuning.recipes if r.losses] if isinstance(event, Finetuned) else []
    with ThreadPoolExecutor(1) as visitor:
        asked = visitor.submit(lambda: list(runner.run(Request("What is a circle?", max_new_tokens=2))))
        *events, last = training
        finished = asked.result()[-1]
    assert isinstance(finished, Finished) and finished.result.failure is None
    assert any(isinstance(event, Waiting) for event in events)  # it waited for the run
    assert isinstance(last, Finetuned)
    assert last.finetuning.recipes[0].losses == finetuned(request).recipes[0].losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message", "family"),
    [
        ("float16_scaled", "Attempting to unscale FP16 gradients.", "scaler_gradients"),
        ("no_autocast", "must have the same dtype", "linear_operands"),
    ],
)
def test_a_mistake_is_raised_by_pytorch_and_explained(name: str, message: str, family: str) -> None:
    (result,) = run(name, steps=1).recipes
    assert result.failure is not None
    assert message in str(result.failure.message)
    assert result.failure.explanation.recognised
    assert "Traceback" in result.failure.traceback
    assert not result.finished
    assert MISTAKES[name].remedy
    if name == "no_autocast":
        assert result.failure.module == "vision_proj.0"
        assert {operand.dtype for operand in result.failure.operands} == {"float16", "float32"}


@pytest.mark.slow
def test_adamw_in_float16_divides_by_zero_and_says_where() -> None:
    (result,) = run("float16").recipes
    assert result.non_finite is not None
    assert (result.non_finite.step, result.non_finite.cause) == (0, "update")
    assert result.failure is not None
    assert result.failure.type == NON_FINITE
    assert result.failure.explanation.family == "non_finite_update"
    (cured,) = run("float16", epsilon=1e-3, steps=2).recipes
    assert cured.finished


def test_the_measured_steps_are_spread_from_the_first_to_the_last() -> None:
    assert probed_steps(60) == {0, 15, 30, 44, 59}
    assert probed_steps(1) == {0}
    assert probed_steps(3) == {0, 1, 2}


def test_without_its_questions_a_training_has_no_accuracy() -> None:
    (result,) = run("bfloat16", steps=1, with_accuracy=False).recipes
    assert result.finished and len(result.losses) == 1
    assert (result.accuracy_before, result.accuracy_after) == (None, None)


@pytest.mark.slow
def test_out_of_memory_is_explained_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own error, raised where the second step's backward pass would allocate the gradients."""
    learners: list[weakref.ref[Learner]] = []
    backward = Learner.backward

    def full(learner: Learner, answers: AnswerLogits) -> torch.Tensor:
        if learner.recipe.name == "float32" and learner.optimizer.state:
            learners.append(weakref.ref(learner))
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of"
            )
        return backward(learner, answers)

    monkeypatch.setattr(Learner, "backward", full)
    failed, after = run("float32", "bfloat16").recipes
    assert failed.failure is not None and failed.predicted_memory is not None
    assert (len(failed.losses), failed.finished, failed.failure.type) == (1, False, "OutOfMemoryError")
    cause = failed.failure.explanation.cause.in_language("en")
    for remedy in ("checkpointing", "SGD", "LoRA", "Fewer pictures", joined(memory(failed.predicted_memory.peak))):
        assert remedy in cause
    assert failed.remedy == "bfloat16"
    gc.collect()
    assert [learner() for learner in learners] == [None]
    assert after.losses == run("bfloat16").recipes[0].losses
