"""The memory of one training step: weights, gradients, optimizer state, activations, and the peak of all."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from xcomposer_ui.backends.finetuning.learner import Learner
from xcomposer_ui.backends.memory import meter_of
from xcomposer_ui.finetuning.result import TrainingMemory


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
            gradients=sum(tensor_bytes(w.grad for w in learner.weights.values() if w.grad is not None)),
            optimizer=optimizer_bytes(learner),
            activations=self._activations,
            peak=None if meter.peak_bytes is None else meter.peak_bytes - self._at_start + always,
            kind=None if meter.peak_bytes is None else meter.kind,
        )


def optimizer_bytes(learner: Learner) -> int:
    """Bytes of the optimizer's state, and of the master weights where there are any."""
    state = [t for entry in learner.optimizer.state.values() for t in entry.values() if isinstance(t, Tensor)]
    masters = learner.updated.values() if learner.recipe.master_weights else ()
    return sum(tensor_bytes([*state, *masters]))


def tensor_bytes(tensors: Iterable[Tensor]) -> Iterator[int]:
    """The bytes of each tensor's storage."""
    return (tensor.untyped_storage().nbytes() for tensor in tensors)
