"""The memory that an optimizer adds: its state, and what an update needs for a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import nn

from xcomposer_ui.backends.finetuning.learner import new_optimizer
from xcomposer_ui.backends.planning.recording import Recorder
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest


@dataclass(frozen=True)
class OptimizerMemory:
    """In bytes. state_bytes: kept between updates, master weights included. gradients_bytes: of the master weights'
    own gradients, which exist during an update. scratch_bytes: the most of what an update needs for a moment.
    """

    state_bytes: int
    gradients_bytes: int
    scratch_bytes: int


def optimizer_memory(
    optimizer: str, recipe: Recipe, trained: Iterable[tuple[nn.Parameter, int]], *, foreach: bool
) -> OptimizerMemory:
    """The memory of `optimizer` for the parameters of a training, each with the number of its like.

    foreach: whether all parameters are updated at once, PyTorch's default on a card; else one after another.
    """
    updated = getattr(torch, recipe.updated_dtype)
    state = gradients = scratch = 0
    for parameter, count in trained:
        own_state, own_scratch = _of_one(optimizer, tuple(parameter.shape), updated, foreach)
        state += count * own_state
        scratch = scratch + count * own_scratch if foreach else max(scratch, own_scratch)
        if recipe.master_weights:
            state += count * parameter.numel() * updated.itemsize
            gradients += count * parameter.numel() * updated.itemsize
    return OptimizerMemory(state, gradients, scratch)


@cache
def _of_one(optimizer: str, shape: tuple[int, ...], dtype: torch.dtype, foreach: bool) -> tuple[int, int]:
    """(bytes of the state, most bytes for a moment) of one parameter, by two updates without storage."""
    recorder = Recorder()
    with FakeTensorMode():
        weight = nn.Parameter(torch.empty(shape, dtype=dtype))
        weight.grad = torch.empty_like(weight)
        chosen = new_optimizer([weight], FinetuningRequest(optimizer=optimizer), foreach=foreach)
        with recorder:
            recorder.track_external(weight, weight.grad)
            recorder.events.clear()
            chosen.step()
            state = sum(event.bytes for event in recorder.events)
            recorder.events.clear()
            chosen.step()
    return state, max(accumulate((event.bytes for event in recorder.events), initial=0))
