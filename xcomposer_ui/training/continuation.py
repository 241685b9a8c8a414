"""Training of an exported model's vision tower on pictures that it does not know yet: sketches and large shapes.

An export has neither optimizer nor auxiliary heads, so this is not a resumed run. The language model is not trained. It
goes on reading what it reads, the embeddings behind the projector: those of known pictures are kept, and a head that
was fitted to them, and is then fixed, says what those of new pictures have to be.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.cpu_kernels import cpu_kernels
from xcomposer_ui.training.optimization import Schedule, WeightAverage
from xcomposer_ui.training.pictures import Batch, batches, sample_batch
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import PatchHead, patch_accuracy, patch_loss, pixel_tensor
from xcomposer_ui.training.world import Scene

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Continuation:
    """Hyperparameters.

    seed: of everything random. batch: pictures per step. steps, rate: number of steps and peak learning rate.
    fixed_layers: lowest blocks of the tower, which are not trained. uses: how often a picture is used.
    fit_batches, fit_steps, fit_rate: pictures, steps and learning rate of the head.
    kept: weight of the change of known pictures' embeddings, relative to their variance.
    average: decay of the moving average of the weights, which are the result.
    """

    seed: int = 2718
    batch: int = 32
    steps: int = 3000
    rate: float = 5e-4
    fixed_layers: int = 2
    uses: int = 3
    fit_batches: int = 24
    fit_steps: int = 300
    fit_rate: float = 5e-3
    kept: float = 60.0
    average: float = 0.995


RECENT = 40
"""Number of batches that are used again."""

CHECKPOINT_STEPS = 90
"""Steps between two checkpoints, a multiple of `Continuation.uses`."""

LARGEST_KNOWN = 0.38
"""Extents up to this are known to a model that was trained before large shapes were."""


def is_known(scene: Scene) -> bool:
    """Whether the model that training continues from knows pictures like `scene`."""
    return not scene.by_brush and all(thing.extent < LARGEST_KNOWN for thing in scene.things)


@dataclass(frozen=True)
class PreparedBatch:
    """A batch with what does not change during the training.

    states: (N, 1 + patches, width) after the fixed blocks. known: (N,), the pictures whose embeddings are kept.
    embeddings: (N, patches, width) of the model before training.
    """

    batch: Batch
    states: Tensor
    known: Tensor
    embeddings: Tensor


class TrainedTower:
    """The model's tower and projector, divided into fixed and trained blocks.

    Args:
        model: the model, whose upper blocks are trained in place.
        fixed_layers: number of blocks that stay.
    """

    def __init__(self, model: InternLMXComposer2ForCausalLM, fixed_layers: int) -> None:
        transformer = model.vit.vision_tower.vision_model
        self.embeddings, self.norm = transformer.embeddings, transformer.pre_layrnorm
        self.fixed, self.trained = transformer.encoder.layers[:fixed_layers], transformer.encoder.layers[fixed_layers:]
        self.projector = model.vision_proj
        self.known_blocks = copy.deepcopy(self.trained)

    def embedded(self, states: Tensor, blocks: nn.ModuleList) -> Tensor:
        """Embeddings behind the projector, (N, patches, width), from the states before `blocks`."""
        for block in blocks:
            states = block(states)
        return self.projector(states[:, 1:])

    @torch.no_grad()
    def prepared(self, batch: Batch) -> PreparedBatch:
        """Compute what stays the same for `batch`."""
        states = self.norm(self.embeddings(pixel_tensor(batch)))
        for block in self.fixed:
            states = block(states)
        known = torch.tensor([is_known(scene) for scene in batch.scenes])
        return PreparedBatch(batch, states, known, self.embedded(states, self.known_blocks))


def selected(prepared: PreparedBatch) -> tuple[Tensor, Batch]:
    """The embeddings of the known pictures of a batch, and those pictures."""
    known, batch = prepared.known.numpy(), prepared.batch
    scenes = tuple(scene for scene, chosen in zip(batch.scenes, known, strict=True) if chosen)
    return prepared.embeddings[prepared.known], Batch(
        batch.pixels[known], scenes, batch.thing[known], batch.coverage[known]
    )


def fit_head(settings: Continuation, recipe: Recipe, tower: TrainedTower) -> PatchHead:
    """Fit a head to the embeddings of known pictures, and fix it."""
    torch.manual_seed(settings.seed)
    head = PatchHead(recipe.width)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.fit_rate)
    seeds = [(settings.seed, n) for n in range(settings.fit_batches)]
    drawn = (sample_batch(seed, settings.batch, recipe.side, recipe.patches) for seed in seeds)
    examples = [selected(tower.prepared(batch)) for batch in drawn]
    schedule = Schedule(settings.fit_steps)
    for step in range(settings.fit_steps):
        optimizer.param_groups[0]["lr"] = settings.fit_rate * schedule.rate(step, warmup=20)
        loss = patch_loss(head, *examples[step % len(examples)], recipe.patches)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    log.info("head: loss %.4f", loss.item())
    return head.requires_grad_(False)


def prepared_batches(
    settings: Continuation, recipe: Recipe, tower: TrainedTower, start: int
) -> Iterator[PreparedBatch]:
    """Yield the batches of steps `start`, …: each new one, then random recent ones, `uses` for each that is drawn.

    `start` is a multiple of `uses`.
    """
    recent: deque[PreparedBatch] = deque(maxlen=RECENT)
    number = start // settings.uses
    first = max(0, number - RECENT + 1)
    for n, batch in enumerate(batches(settings.seed + 1, settings.batch, recipe.side, recipe.patches, first), first):
        recent.append(tower.prepared(batch))
        if n < number:
            continue
        yield recent[-1]
        rng = np.random.default_rng((settings.seed, 5, n))
        for _ in range(settings.uses - 1):
            yield recent[int(rng.integers(len(recent)))]


def step_loss(
    settings: Continuation, recipe: Recipe, tower: TrainedTower, head: PatchHead, prepared: PreparedBatch
) -> Tensor:
    """Loss of the labels that `head` reads, and of the known pictures' changes."""
    embeddings = tower.embedded(prepared.states, tower.trained)
    labels = patch_loss(head, embeddings, prepared.batch, recipe.patches)
    before = prepared.embeddings[prepared.known]
    change = (embeddings[prepared.known] - before).pow(2).mean() / before.var()
    return labels + settings.kept * change


def continue_training(
    settings: Continuation,
    recipe: Recipe,
    folder: Path,
    model: InternLMXComposer2ForCausalLM,
    budget_sec: float | None = None,
    stop_after: int | None = None,
) -> None:
    """Train the upper blocks of the tower of `model` in place, or resume that from the checkpoint in `folder`.

    Args:
        settings: hyperparameters.
        recipe: hyperparameters that `model` was made with.
        folder: gets the checkpoint.
        model: the exported model; gets the averaged weights.
        budget_sec: time limit in seconds; None for no limit.
        stop_after: step to stop after, to be resumed later; None for the last.
    """
    tower, checkpoint = TrainedTower(model, settings.fixed_layers), folder / "continuation.pt"
    head = fit_head(settings, recipe, tower)
    optimizer = torch.optim.AdamW(tower.trained.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0)
    average, schedule, step = WeightAverage(tower.trained, settings.average), Schedule(settings.steps, budget_sec), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        tower.trained.load_state_dict(state["trained"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        step, schedule.spent_sec = state["step"], state["spent_sec"]
    validation = tower.prepared(sample_batch((settings.seed + 2, 0), 96, recipe.side, recipe.patches))
    for prepared in prepared_batches(settings, recipe, tower, step):
        if schedule.progress(step) >= 1 or step == stop_after:
            break
        optimizer.param_groups[0]["lr"] = settings.rate * schedule.rate(step, warmup=50)
        with cpu_kernels(model):
            loss = step_loss(settings, recipe, tower, head, prepared)
            optimizer.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(tower.trained.parameters(), 1.0)
        optimizer.step()
        average.update(tower.trained)
        step += 1
        if step % CHECKPOINT_STEPS == 0:
            log.info("step %d, %.0f s: loss %.4f", step, schedule.elapsed_sec, loss.item())
            _validate(tower, head, average, validation, recipe.patches)
            state = {"trained": tower.trained.state_dict(), "optimizer": optimizer.state_dict()}
            progress = {"average": average.state_dict(), "step": step, "spent_sec": schedule.elapsed_sec}
            torch.save(state | progress, checkpoint)
    with torch.no_grad():
        for parameter, value in zip(tower.trained.parameters(), average.values, strict=True):
            parameter.copy_(value)


@torch.no_grad()
def _validate(
    tower: TrainedTower, head: PatchHead, average: WeightAverage, validation: PreparedBatch, patches: int
) -> None:
    """Log the accuracy of the head on the averaged weights' embeddings."""
    with average.swapped_into(tower.trained):
        embeddings = tower.embedded(validation.states, tower.trained)
    accuracy = patch_accuracy(head, embeddings, validation.batch, patches)
    log.info("validation: %s", " ".join(f"{name} {value:.4f}" for name, value in accuracy.items()))
