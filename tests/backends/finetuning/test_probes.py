"""Counts of underflow and swallowed updates against counts written out; histograms, largest values, memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.backends.finetuning.loops import SMALL, PlainLoop, data_of, embedded, loss_of, run
from xcomposer_ui.backends.finetuning.probes import (
    gradient_counts,
    histogram,
    largest_of,
    module_of,
    update_counts,
)
from xcomposer_ui.finetuning.probe import GradientCounts, UpdateCounts
from xcomposer_ui.finetuning.recipes import RECIPES
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import MEMORY_FIGURES


def test_gradients_that_underflow_are_counted() -> None:
    reference = torch.tensor([0.0, 1e-40, 1e-9, 3e-8, 1e-6, 1e-4, 1.0, 1e6])
    own = reference.half()
    assert gradient_counts(own, reference, "float16") == GradientCounts(8, zero=1, subnormal=2, overflow=1)
    # the same numbers in float32, as autocast leaves them
    assert gradient_counts(own.float(), reference, "float16") == GradientCounts(8, zero=1, subnormal=2, overflow=1)
    # a gradient that did not pass through float16 is not subnormal there
    assert gradient_counts(reference, reference, "float16") == GradientCounts(8)


def test_a_loss_scale_lifts_gradients_out_of_the_underflow() -> None:
    reference = torch.full((10,), 1e-7)
    assert gradient_counts((reference * 2**16).half(), reference, "float16") == GradientCounts(10)


def test_updates_that_change_no_weight_are_counted() -> None:
    before = torch.ones(4, dtype=torch.bfloat16)
    expected = torch.tensor([0.0, 1e-3, 1e-2, -1e-3], dtype=torch.float64)
    after = before + expected.bfloat16()
    assert update_counts(before, after, expected) == UpdateCounts(changed=3, swallowed=2)


@pytest.mark.slow
def test_the_counts_of_a_step_are_those_of_a_direct_count() -> None:
    request = FinetuningRequest(recipes=("bfloat16",), steps=1, batch=1)
    plain = PlainLoop(request, torch.bfloat16)
    start = embedded(torch.bfloat16)
    model = embedded(torch.bfloat16).float()
    loss_of(model, request, 0, torch.float32).backward()
    wide = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    small = zero = swallowed = changed = 0
    after = dict(plain.model.named_parameters())
    for name, weight in start.named_parameters():
        if name not in wide:
            continue
        own = plain.first_gradients[name].float().numpy()
        true = wide[name].numpy()
        normal = np.abs(true) >= 2.0**-126
        zero += int(((own == 0) & normal).sum())
        small += int(((np.abs(own) < 2.0**-126) & normal).sum())
        # Adam's first step is lr · g / (|g| + eps) in float64
        g = plain.first_gradients[name].double()
        step = -request.learning_rate * g / (g.abs() + request.epsilon)
        changed += int((step != 0).sum())
        swallowed += int(((step != 0) & (weight == after[name])).sum())
    (result,) = run("bfloat16", steps=1, batch=1).recipes
    assert (result.gradients.zero, result.gradients.zero + result.gradients.subnormal) == (zero, small)
    assert (result.updates.changed, result.updates.swallowed) == (changed, swallowed)
    assert swallowed > changed / 2


@pytest.mark.slow
def test_float32_underflows_nowhere_and_swallows_next_to_nothing() -> None:
    (result,) = run("float32").recipes
    assert result.gradients.underflow == 0
    assert result.updates.share is not None
    assert result.updates.share < 1e-3
    model = embedded(torch.float32)
    loss_of(model, FinetuningRequest(recipes=("float32",), **SMALL), 0, torch.float32).backward()
    # Not all have a gradient: what the last block adds at the picture's own tokens is read by nothing.
    trained = [p for p in model.parameters() if p.grad is not None]
    assert result.gradients.elements == 2 * sum(p.numel() for p in trained)
    assert result.memory is not None
    weights = sum(p.numel() for p in model.parameters())
    assert result.memory.weights == 4 * weights
    assert result.memory.gradients == 4 * sum(p.numel() for p in trained)
    # two moments, and a count of steps for each tensor
    assert result.memory.optimizer == 8 * sum(p.numel() for p in trained) + 4 * len(trained)
    if result.memory.kind is not None:
        assert result.memory.activations is not None
        assert result.memory.peak is not None
        assert result.memory.activations > 0
        assert result.memory.peak >= result.memory.weights + result.memory.optimizer + result.memory.activations


def test_a_histogram_counts_by_powers_of_two() -> None:
    found = histogram([torch.tensor([0.0, 0.25, 0.3]), torch.tensor([-1.0, 1.99, float("inf")])])
    assert (found.lowest, found.counts, found.zeros) == (-2, (2, 0, 2), 1)
    assert sum(histogram([torch.zeros(3)]).counts) == 0


def test_the_largest_value_is_compared_with_its_type_s_limit() -> None:
    found = largest_of(torch.tensor([1.0, -32752.0, float("nan"), float("inf")], dtype=torch.float16), "output")
    assert (found.value, found.dtype, found.share) == (32752.0, "float16", 0.5)


def test_parameters_are_counted_by_module() -> None:
    names = ("model.layers.0.attention.wqkv.Plora_A.weight", "model.norm.weight", "vision_proj.2.bias", "output.weight")
    assert [module_of(name) for name in names] == ["model.layers.0.attention", "model.norm", "vision_proj", "output"]


def test_the_batches_are_english_questions_of_one_kind_with_chinese_answers() -> None:
    request = FinetuningRequest(recipes=("float32",), kind="place", steps=1, batch=1)
    data = data_of(request)
    turns = [turn for c in (*data.batch(0).conversations, *data.held_out.conversations) for turn in c.turns]
    assert {turn.kind for turn in turns} == {"place"}
    assert all(turn.question.isascii() and not turn.answer.isascii() for turn in turns)
    assert len(data.held_out.conversations) == 100


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", RECIPES)
def test_the_predicted_memory_is_within_one_percent_of_the_measured(name: str, optimizer: str) -> None:
    """The divisor keeps float16's gradients from overflowing, which would skip the first step."""
    settings = {"optimizer": optimizer, "steps": 2, "loss_divisor": 2.0**16, "epsilon": 1.0}
    (result,) = run(name, **settings).recipes
    measured, predicted = result.memory, result.predicted_memory
    assert measured is not None and predicted is not None
    for part in MEMORY_FIGURES:
        assert getattr(predicted, part) == pytest.approx(getattr(measured, part), rel=0.01), part


@pytest.mark.slow
def test_memory_is_measured_once_the_optimizer_has_its_state() -> None:
    """A loss of this size times 65536 overflows float16 at first: the scaler skips the first step.

    The prediction is of the second step, whose questions may be of other lengths than those of the measured one.
    """
    settings = {"learning_rate": 0.01, "seed": 3}
    (result,) = run("autocast_float16", **settings).recipes
    measured, predicted = result.memory, result.predicted_memory
    assert measured is not None and predicted is not None and result.skipped_steps
    assert [probe.step for probe in result.probes] == [0, 1]
    for part in MEMORY_FIGURES:
        assert getattr(predicted, part) == pytest.approx(getattr(measured, part), rel=0.03), part
    (ended,) = run("autocast_float16", steps=2, **settings).recipes  # before a step began with the state
    assert ended.memory is None
