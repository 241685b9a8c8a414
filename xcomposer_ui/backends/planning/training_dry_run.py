"""A dry run of a training step, without storage: the passes over a batch of examples, and what an update adds.

`tune` makes a model, real or fake, ready for a training method: frozen parts, low-rank adapters, checkpointed layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xcomposer_ui.backends.arithmetic import autocast_to
from xcomposer_ui.backends.finetuning.learner import new_optimizer
from xcomposer_ui.backends.planning.configuration import image_tokens, pixel_size
from xcomposer_ui.backends.planning.fake_model import FakeModel
from xcomposer_ui.backends.planning.recording import Recorder, Recording, repeated
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.core.families.facts import LoraFacts
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.models.base import FamilyConfig
from xcomposer_ui.planning.training_plan import BACKWARD, FORWARD, TrainingMethod, TrainingPlanRequest


@dataclass(frozen=True)
class TrainingBatch:
    """Examples of equal length.

    pixels: (1, 3, H, W) of each example's picture; () for text only. ids: of one example's text, the answer included.
    targets: (B, T) ids, with the picture's positions. image_positions: number of image tokens in the batch.
    """

    pixels: tuple[Tensor, ...]
    ids: tuple[int, ...]
    targets: Tensor
    image_positions: int

    @classmethod
    def example(cls, config: FamilyConfig, request: TrainingPlanRequest, pixels_dtype: torch.dtype) -> TrainingBatch:
        """A batch of the request's size with blank pictures. Sequences are cut at `max_prompt_tokens`."""
        pixels, batch = pixel_size(config, request), request.batch
        text_tokens = request.prompt_tokens + request.new_tokens
        picture_tokens = image_tokens(config, request)
        length = min(picture_tokens + text_tokens, config.max_prompt_tokens)
        pictures = [] if pixels is None else [torch.zeros((1, 3, *pixels), dtype=pixels_dtype) for _ in range(batch)]
        targets = torch.ones((batch, length), dtype=torch.long)
        # A sequence begins with a token of text; where it is cut, the picture may be.
        return cls(tuple(pictures), (1,) * text_tokens, targets, batch * min(picture_tokens, length - 1))


def training_loss(model: Any, batch: TrainingBatch) -> Tensor:
    """Mean cross-entropy of each next token over whole sequences, computed in float32 as transformers does.

    No mask is needed: sequences are of equal length, and attention is causal.
    """
    first, *others = batch.ids
    rows: list[dict[str, Tensor]] = [
        model.joined_embeddings([[first], others], [model.encode_image(picture)]) for picture in batch.pixels
    ]
    if rows:
        inputs = {name: torch.cat([row[name] for row in rows]) for name in rows[0]} if len(rows) > 1 else rows[0]
    else:
        ids = torch.tensor([list(batch.ids)], device=model.text_device).expand(batch.targets.shape[0], -1)
        inputs = {"input_ids": ids[:, : batch.targets.shape[1]]}
    del rows
    logits = model(**inputs).logits.float()
    targets = F.pad(batch.targets[:, 1:], (0, 1), value=-100)  # the last token has no next one
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@dataclass(frozen=True)
class TrainingDryRun(Recording):
    """The record of a training step without its update; the kept blocks are those of the gradients.

    trained: (a parameter that has a gradient, how many of the real model's it stands for). untouched: elements of
    those that could be trained and have no gradient, as nothing reads what they add.
    """

    trained: tuple[tuple[nn.Parameter, int], ...]
    untouched: int

    @property
    def gradients_bytes(self) -> int:
        """Of the whole model's gradients."""
        return sum(count * parameter.nbytes for parameter, count in self.trained)

    @property
    def forward_bytes(self) -> int:
        """What the forward pass leaves for the backward pass, without the weights; the batch included."""
        return sum(event.bytes for event in repeated(self) if event.phase == FORWARD)

    @property
    def left_bytes(self) -> int:
        """What is live after the backward pass, without the weights: the gradients and the batch."""
        return sum(event.bytes for event in repeated(self))


def training_dry_run(
    fake: FakeModel,
    recipe: Recipe,
    mode: FakeTensorMode,
    new_batch: Callable[[], Any],
    forward: Callable[[Any, Any], Any] = training_loss,
    loss_of: Callable[[Any], Tensor] | None = None,
) -> TrainingDryRun:
    """Run one training step of `fake`, whose weights have the recipe's dtype and which was built under `mode`.

    new_batch: makes the batch, with `image_positions` as a TrainingBatch.
    forward: (model, batch) to the loss, or to what `loss_of` computes it from after autocast.
    """
    recorder = Recorder()
    with mode, fake.marked_layers(recorder), recorder:
        recorder.track_external(fake.model)
        recorder.events.clear()
        recorder.phase = FORWARD
        batch = new_batch()
        recorder.image_positions = batch.image_positions
        with autocast_to(recipe.autocast, "cpu"):
            answers = forward(fake.model, batch)
        recorder.phase = BACKWARD
        loss = answers if loss_of is None else loss_of(answers)
        recorder.in_backward = True
        loss.backward()  # type: ignore[no-untyped-call]
        recorder.layer = None
        del answers, loss
        trained = tuple(pair for pair in fake.parameter_counts() if pair[0].grad is not None)
        gradients = [parameter.grad for parameter, _ in trained if parameter.grad is not None]
        kept = frozenset(recorder.block_of(gradient) for gradient in gradients)
        events = tuple(recorder.events)
        del gradients
    untouched = sum(n * p.numel() for p, n in fake.parameter_counts() if p.requires_grad and p.grad is None)
    return TrainingDryRun(events, fake.repeats(), fake.weights_bytes, kept, trained, untouched)


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


class LowRankAdapter(nn.Module):
    """The addition B A x to a linear layer's output, for x of any shape (…, in); B begins as zero.

    As PEFT computes it where alpha is the rank: every token gets it, and dropout is applied to x.
    """

    def __init__(self, layer: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.A = nn.Parameter(layer.weight.new_empty((rank, layer.in_features)))
        self.B = nn.Parameter(layer.weight.new_zeros((layer.out_features, rank)))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return F.linear(F.linear(x, self.A), self.B)
        # Not F.dropout: on a CPU, it keeps a mask in the dtype of x, which on a card takes one byte an element.
        dropped = torch.rand(x.shape, device=x.device) < self.dropout
        return F.linear(F.linear(x.masked_fill(dropped, 0), self.A) / (1 - self.dropout), self.B)


def tune(model: Any, method: TrainingMethod, lora: LoraFacts | None, *, trains_tower: bool) -> None:
    """Prepare `model` for `method`, in place.

    lora: the family's, which a method with adapters needs. trains_tower: whether full fine-tuning trains the tower.
    """
    if method.lora_rank is not None:
        assert lora is not None, "the family's adapters are unknown"
        model.requires_grad_(False)
        for name, module in list(model.named_modules()):
            if name.endswith(lora.layers):
                module.add_module("adapter", LowRankAdapter(module, method.lora_rank, lora.dropout))
                module.register_forward_hook(lambda layer, inputs, output: output + layer.adapter(inputs[0]))
    elif not trains_tower:
        model.tower.requires_grad_(False)
    if method.checkpointing:
        _checkpoint_layers(model, preserve_rng_state=method.lora_rank is not None)
    model.train()


def _checkpoint_layers(model: Any, *, preserve_rng_state: bool) -> None:
    """Let each repeated layer keep its inputs only. preserve_rng_state: whether recomputing has to drop the same."""
    for stack in model.layer_stacks().values():
        for layer in stack:
            layer.forward = partial(
                checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=preserve_rng_state
            )
