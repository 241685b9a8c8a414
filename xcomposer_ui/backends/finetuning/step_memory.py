"""The memory of one training step: weights, gradients, optimizer state, activations, and the peak of all."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch import Tensor

from xcomposer_ui.backends.finetuning.learner import Learner
from xcomposer_ui.backends.memory import weights_bytes
from xcomposer_ui.backends.torch_private import AllocatorEvents
from xcomposer_ui.finetuning.result import TrainingMemory


class StepMemory:
    """Measures the step inside `measured`, whose forward pass ends with `forward_done`.

    On the CPU everything that PyTorch's allocator does in the step is recorded; on a card torch.cuda's own statistics
    are read. Elsewhere the activations and the peak are None.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._card = learner.model.device if learner.device_type == "cuda" else None
        self._records = learner.device_type == "cpu" and AllocatorEvents.available
        self._events = AllocatorEvents()
        self._activations: int | None = None
        self._peak: int | None = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """A context around a whole step, whose gradients were dropped before and are kept in it."""
        self._start()
        try:
            yield
        finally:
            self._end()

    def forward_done(self) -> None:
        """Note what the forward pass left in memory."""
        if self._records:
            first = self._events.stop()
            self._levels = list(accumulate(first, initial=0))
            self._activations = self._levels[-1]
            self._events.start()
        elif self._card is not None:
            self._activations = torch.cuda.memory_allocated(self._card) - self._at_start

    def result(self) -> TrainingMemory:
        """The memory of the step; its gradients must still be there."""
        learner = self._learner
        weights = weights_bytes(learner.model)
        state = optimizer_bytes(learner)
        return TrainingMemory(
            weights=weights,
            gradients=sum(tensor_bytes(w.grad for w in learner.weights.values() if w.grad is not None)),
            optimizer=state,
            activations=self._activations,
            peak=None if self._peak is None else self._peak + weights + self._state_before,
            kind=None if self._peak is None else "cuda_allocated" if self._card is not None else "cpu_tensors",
        )

    def _start(self) -> None:
        gc.collect()  # what is freed in the step was then allocated in it
        self._state_before = optimizer_bytes(self._learner)
        if self._records:
            self._levels = [0]
            self._events.start()
        elif self._card is not None:
            torch.cuda.synchronize(self._card)
            torch.cuda.reset_peak_memory_stats(self._card)
            self._at_start = torch.cuda.memory_allocated(self._card)

    def _end(self) -> None:
        if self._records:
            rest = accumulate(self._events.stop(), initial=self._levels[-1])
            self._peak = max([*self._levels, *rest])
        elif self._card is not None:
            torch.cuda.synchronize(self._card)
            self._peak = torch.cuda.max_memory_allocated(self._card) - self._at_start


def optimizer_bytes(learner: Learner) -> int:
    """Bytes of the optimizer's state, and of the master weights where there are any."""
    state = [t for entry in learner.optimizer.state.values() for t in entry.values() if isinstance(t, Tensor)]
    masters = learner.updated.values() if learner.recipe.master_weights else ()
    return sum(tensor_bytes([*state, *masters]))


def tensor_bytes(tensors: Iterable[Tensor]) -> Iterator[int]:
    """The bytes of each tensor's storage."""
    return (tensor.untyped_storage().nbytes() for tensor in tensors)
