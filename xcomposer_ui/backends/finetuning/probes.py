"""Measures one step of a training: gradients that underflow, updates that are swallowed, largest values; its memory."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.finetuning.data import Examples
from xcomposer_ui.backends.finetuning.learner import Learner, forward, loss_of, new_optimizer
from xcomposer_ui.backends.memory import meter_of, storage_bytes
from xcomposer_ui.backends.module_outputs import in_float64, outputs_of
from xcomposer_ui.backends.tracing.tensor_origins import dtype_name
from xcomposer_ui.finetuning.probe import GradientCounts, Histogram, Largest, ModuleCounts, Probe, UpdateCounts
from xcomposer_ui.finetuning.result import TrainingMemory
from xcomposer_ui.lesson.formats import format_named

Tensors = dict[str, Tensor]
"""Tensors by the name of the parameter that they belong to."""


class StepProbe:
    """The measurement of one step, in the order of its calls.

    `activations` around the forward pass, `gradients` between the backward pass and `unscale`, `before_update` and
    `after_update` around the optimizer's step, then `result`.
    reference: a float32 model of the same architecture, which gets the recipe's weights.
    """

    def __init__(self, learner: Learner, reference: Any, step: int) -> None:
        self._learner, self._reference, self._step = learner, reference, step
        self._activations: list[Largest] = []
        self._updates: dict[str, UpdateCounts] = {}

    @contextmanager
    def activations(self) -> Iterator[None]:
        """A context in which the largest activation of the recipe's forward pass is found."""
        with outputs_of(self._learner.model, lambda key, out: self._activations.append(largest_of(out, key[0]))):
            yield

    def gradients(self, examples: Examples) -> None:
        """Count the gradients as the backward pass left them, against float32's."""
        learner, computed = self._learner, self._learner.recipe.computed_dtype
        own = {name: w.grad for name, w in learner.weights.items() if w.grad is not None}
        reference = own if computed == "float32" else self._float32_gradients(examples)
        self._scale = float(learner.scaler.get_scale())
        self._counts = {name: gradient_counts(own[name], reference[name], computed) for name in own}
        self._histogram = histogram(list(reference.values()))
        self._gradients = [largest_of(gradient, name, computed) for name, gradient in own.items()]

    def before_update(self) -> None:
        """Compute in float64 what the optimizer will add to each weight."""
        learner = self._learner
        self._before = {name: in_float64(weight.detach()) for name, weight in learner.updated.items()}
        self._expected = expected_updates(learner)

    def after_update(self, updated: bool) -> None:
        """Count the updates that changed no weight. updated: whether there was one, or the scaler skipped it."""
        if updated:
            after = {name: in_float64(weight.detach()) for name, weight in self._learner.updated.items()}
            self._updates = {
                name: update_counts(self._before[name], after[name], self._expected[name]) for name in after
            }
        self._before, self._expected = {}, {}

    def result(self) -> Probe:
        """The measured step."""
        return Probe(
            step=self._step,
            loss_scale=self._scale,
            modules=self._modules(),
            histogram=self._histogram,
            largest_gradient=max(self._gradients, key=lambda one: one.share, default=None),
            largest_activation=max(self._activations, key=lambda one: one.share, default=None),
        )

    def _float32_gradients(self, examples: Examples) -> Tensors:
        """The gradients of the same loss at the same weights in float32, without a loss scale."""
        learner, model = self._learner, self._reference
        model.load_state_dict(learner.model.state_dict())
        model.zero_grad()
        loss = loss_of(forward(model, examples, learner.data, torch.float32))
        (loss / learner.request.loss_divisor).backward()
        return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}

    def _modules(self) -> tuple[ModuleCounts, ...]:
        found: dict[str, ModuleCounts] = {}
        for name in self._learner.weights:
            module = module_of(name)
            before = found.get(module, ModuleCounts(module, GradientCounts(), UpdateCounts()))
            gradients = before.gradients + self._counts.get(name, GradientCounts())
            found[module] = ModuleCounts(module, gradients, before.updates + self._updates.get(name, UpdateCounts()))
        return tuple(found.values())


def module_of(parameter: str) -> str:
    """The module that a parameter is counted in: "model.layers.0.attention", "vision_proj", "output"."""
    parts = parameter.split(".")
    return ".".join(parts[: min(4, len(parts) - 1)]) if parts[0] == "model" else parts[0]


def gradient_counts(own: Tensor, reference: Tensor, computed: str) -> GradientCounts:
    """Count a gradient's elements that are zero, subnormal or not finite although float32's are normal.

    own: as the backward pass computed it, loss scale included. reference: float32's, without loss scale.
    computed: the dtype of the backward pass. Under autocast the gradients of some weights never pass through it; they
    are not all representable in it, and count by the dtype that they are stored in.
    """
    narrow = own.to(getattr(torch, computed)).to(own.dtype)
    dtype = computed if bool(((narrow == own) | own.isnan()).all()) else dtype_name(own.dtype)
    magnitude, normal = own.float().abs(), reference.abs() >= format_named("float32").smallest_normal
    small = (magnitude < format_named(dtype).smallest_normal) & normal
    zero = int((small & (magnitude == 0)).sum())
    overflow = int((~own.isfinite() & reference.isfinite()).sum())
    return GradientCounts(own.numel(), zero, int(small.sum()) - zero, overflow)


def expected_updates(learner: Learner) -> Tensors:
    """What the optimizer would add to each weight if its state and arithmetic were float64."""
    start = {name: in_float64(weight.detach()) for name, weight in learner.updated.items()}
    wide = {name: nn.Parameter(weight.clone()) for name, weight in start.items()}
    optimizer = new_optimizer(list(wide.values()), learner.request)
    # A deep copy, because loading casts the moments, but shares the count of steps.
    optimizer.load_state_dict(copy.deepcopy(learner.optimizer.state_dict()))
    for name, weight in learner.updated.items():
        wide[name].grad = None if weight.grad is None else in_float64(weight.grad)
    optimizer.step()
    return {name: wide[name].detach() - start[name] for name in start}


def update_counts(before: Tensor, after: Tensor, expected: Tensor) -> UpdateCounts:
    """Count the elements whose expected update is not zero, and those of them that it left unchanged."""
    changed = expected != 0
    return UpdateCounts(int(changed.sum()), int((changed & (before == after)).sum()))


def histogram(gradients: list[Tensor]) -> Histogram:
    """The magnitudes of `gradients` by powers of two; values that are not finite are left out."""
    values = torch.cat([in_float64(gradient).flatten() for gradient in gradients])
    kept = values[values.isfinite() & (values != 0)]
    zeros = int((values == 0).sum())
    if not kept.numel():
        return Histogram(0, (), zeros)
    exponents = torch.frexp(kept).exponent.long() - 1  # a value is in [2 ** exponent, 2 ** (exponent + 1))
    lowest = int(exponents.min())
    return Histogram(lowest, tuple(torch.bincount(exponents - lowest).tolist()), zeros)


def largest_of(tensor: Tensor, module: str, dtype: str | None = None) -> Largest:
    """The largest finite magnitude in `tensor`. dtype: whose limit it is compared with; None for the tensor's own."""
    dtype = dtype or dtype_name(tensor.dtype)
    magnitude = tensor.detach().float().abs()
    value = float(torch.where(magnitude.isfinite(), magnitude, 0).max()) if magnitude.numel() else 0.0
    return Largest(value, module, dtype, value / format_named(dtype).largest)


class StepMemory:
    """Measures the step inside `measured`, whose forward pass ends with `forward_done`.

    Where the device keeps no peak, the activations and the peak are None.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._meter = meter_of(learner.model)
        self._activations: int | None = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """A context around a whole step, whose gradients were dropped before and are kept in it."""
        gc.collect()  # what is freed in the step was then allocated in it
        self._state_before = optimizer_bytes(self._learner)
        with self._meter:
            self._at_start = self._meter.live_bytes() or 0
            yield

    def forward_done(self) -> None:
        """Note what the forward pass left in memory."""
        if (live := self._meter.live_bytes()) is not None:
            self._activations = live - self._at_start

    def result(self) -> TrainingMemory:
        """The memory of the step; its gradients must still be there."""
        learner, meter = self._learner, self._meter
        always = meter.weights_bytes + self._state_before
        return TrainingMemory(
            weights=meter.weights_bytes,
            gradients=storage_bytes(w.grad for w in learner.weights.values() if w.grad is not None),
            optimizer=optimizer_bytes(learner),
            activations=self._activations,
            peak=None if meter.peak_bytes is None else meter.peak_bytes - self._at_start + always,
            kind=None if meter.peak_bytes is None else meter.kind,
        )


def optimizer_bytes(learner: Learner) -> int:
    """Bytes of the optimizer's state, and of the master weights where there are any."""
    state = [t for entry in learner.optimizer.state.values() for t in entry.values() if isinstance(t, Tensor)]
    masters = learner.updated.values() if learner.recipe.master_weights else ()
    return storage_bytes([*state, *masters])
