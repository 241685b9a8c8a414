"""Stage one: training of the vision tower to label each patch, with an auxiliary head that is discarded afterwards.

A step of the tower alone costs a tenth of a step of the whole model, so the tower learns here whatever it can learn
without the language model (`labels`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2.vision import CLIP_MEAN, CLIP_STD, VisionTower
from xcomposer_ui.training.cpu_kernels import cpu_kernels
from xcomposer_ui.training.labels import PATCH_CLASSES, THING_CLASSES, patch_labels
from xcomposer_ui.training.optimization import Schedule, WeightAverage
from xcomposer_ui.training.pictures import CELLS, Batch, batches, mirrored, sample_batch
from xcomposer_ui.training.recipe import Recipe

log = logging.getLogger(__name__)

_CLASSES = PATCH_CLASSES | THING_CLASSES

PatchPredictions = dict[str, Tensor]
"""A head's predictions, (N, patches, …): logits of each label's classes, of "density" and "coverage"; and "centre"."""


class PatchHead(nn.Module):
    """Auxiliary head that predicts the labels of patches from their features of `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sum(_CLASSES.values()) + 3 + CELLS * CELLS)

    def predict(self, features: Tensor) -> PatchPredictions:
        """Predictions from features (N, patches, width)."""
        sizes = {**_CLASSES, "density": 1, "centre": 2, "coverage": CELLS * CELLS}
        parts = self.head(self.norm(features)).float().split(tuple(sizes.values()), dim=-1)
        predictions = dict(zip(sizes, parts, strict=True))
        return predictions | {"density": predictions["density"].squeeze(-1)}


class TowerWithHead(PatchHead):
    """The vision tower with its auxiliary head."""

    def __init__(self, recipe: Recipe) -> None:
        config = recipe.configuration().vision_config
        super().__init__(config.hidden_size)
        self.vit = VisionTower(config)
        init_tower(self.vit)


def init_tower(vit: VisionTower) -> None:
    """Initialise the class embedding, and the position embeddings as sines across and down the picture.

    Neighbouring patches then start with similar embeddings, so that they find each other, and with them the outline
    of a shape, far sooner than from random embeddings. The other layers keep PyTorch's initialisation.
    """
    embeddings = vit.vision_tower.vision_model.embeddings
    nn.init.normal_(embeddings.class_embedding, std=0.2)
    weight = embeddings.position_embedding.weight  # (1 + patches², width)
    patches, quarter = math.isqrt(weight.shape[0] - 1), weight.shape[1] // 4
    frequencies = math.pi / 2 * (1 / 12) ** (torch.arange(quarter) / max(quarter - 1, 1))
    angles = torch.arange(patches)[:, None] * frequencies  # (patches, quarter)
    waves = torch.cat((angles.sin(), angles.cos()), dim=1)
    rows, columns = waves.repeat_interleave(patches, dim=0), waves.repeat(patches, 1)
    with torch.no_grad():
        weight.zero_()
        weight[1:, : 4 * quarter] = 0.5 * torch.cat((rows, columns), dim=1)


def pixel_tensor(batch: Batch) -> Tensor:
    """The batch's pictures, normalised for the tower, (N, 3, side, side) float32."""
    pixels = torch.from_numpy(batch.pixels).float() / 255
    return ((pixels - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 3, 1, 2).contiguous()


def patch_losses(head: PatchHead, features: Tensor, batch: Batch, patches: int) -> dict[str, Tensor]:
    """Loss of each label, from features (N, patches², width). Labels of things count on the foreground only."""
    labels = patch_labels(batch, patches)
    predictions = head.predict(features)
    foreground = torch.from_numpy(labels.foreground)
    result = {}
    for name in _CLASSES:
        logits, targets = predictions[name], torch.from_numpy(labels.classes[name])
        if name in PATCH_CLASSES:
            result[name] = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        if name in THING_CLASSES or name == "shape":
            # Shapes are learnt last, as a patch needs its neighbours' edges for them: so the foreground counts again.
            key = "foreground_shape" if name == "shape" else name
            result[key] = F.cross_entropy(logits[foreground], targets[foreground])
    result["density"] = F.binary_cross_entropy_with_logits(predictions["density"], torch.from_numpy(labels.density))
    coverage = torch.from_numpy(batch.coverage).flatten(2) / 255
    result["coverage"] = F.binary_cross_entropy_with_logits(predictions["coverage"], coverage)
    result["centre"] = (predictions["centre"] - torch.from_numpy(labels.centre)).abs()[foreground].mean()
    return result


LOSS_WEIGHTS = {"shape": 1.0, "foreground_shape": 1.5, "colour": 1.0, "place": 0.5, "total": 0.5}
LOSS_WEIGHTS |= {"density": 3.0, "centre": 4.0, "coverage": 3.0}
LOSS_WEIGHTS |= dict.fromkeys(THING_CLASSES, 0.3)


def patch_loss(head: PatchHead, features: Tensor, batch: Batch, patches: int) -> Tensor:
    """Weighted sum of `patch_losses`."""
    parts = patch_losses(head, features, batch, patches)
    return torch.stack([LOSS_WEIGHTS[name] * part for name, part in parts.items()]).sum()


@torch.no_grad()
def patch_accuracy(head: PatchHead, features: Tensor, batch: Batch, patches: int) -> dict[str, float]:
    """Accuracy of each label on the foreground, from features (N, patches², width).

    Also "count", the share of pictures whose density has the right sum; and "centre_error", the mean error of the
    centre as a fraction of the picture's side.
    """
    labels = patch_labels(batch, patches)
    predictions = head.predict(features)
    result = {
        name: float((predictions[name].argmax(-1).numpy() == targets)[labels.foreground].mean())
        for name, targets in labels.classes.items()
    }
    counted = predictions["density"].sigmoid().sum(1).round().numpy()
    result["count"] = float((counted == [len(scene.things) for scene in batch.scenes]).mean())
    errors = np.abs(predictions["centre"].numpy() - labels.centre)[labels.foreground]
    return result | {"centre_error": float(errors.mean())}


REPLAY_DELAYS = (0, 4, 36, 40)
"""Age, in batches, of each of the four batches used per drawn batch; the second and fourth are mirrored."""


def replayed_batches(recipe: Recipe, start: int) -> Iterator[Batch]:
    """Yield the batches of steps `start`, `start + 1`, …: each new one, then three older ones.

    Drawing costs about as much as a training step, so each batch is used four times.

    Args:
        recipe: seed and sizes.
        start: first step, a multiple of four.
    """
    number, oldest = start // len(REPLAY_DELAYS), max(REPLAY_DELAYS)
    first = max(0, number - oldest)
    recent: list[Batch] = []
    drawn = batches(recipe.seed, recipe.tower_batch, recipe.side, recipe.patches, start=first)
    for n, batch in enumerate(drawn, first):
        recent = [*recent[-oldest:], batch]
        if n >= number:
            for use, delay in enumerate(REPLAY_DELAYS):
                old = recent[max(0, len(recent) - 1 - delay)]
                yield mirrored(old) if use % 2 else old


def train_tower(recipe: Recipe, folder: Path, budget_sec: float | None = None) -> Path:
    """Run stage one, or resume it from the checkpoint in `folder`.

    Returns:
        File of the averaged weights of the tower and its head.
    """
    result, checkpoint = folder / "tower.pt", folder / "tower-checkpoint.pt"
    if result.exists():
        return result
    torch.manual_seed(recipe.seed)
    tower = TowerWithHead(recipe)
    average = WeightAverage(tower, recipe.average)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=recipe.tower_rate, betas=(0.9, 0.98), weight_decay=0.02)
    step, schedule = 0, Schedule(recipe.tower_steps, budget_sec)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        tower.load_state_dict(state["namer"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, schedule.spent_sec = state["step"], state["spent_sec"]
    validation = sample_batch((recipe.seed + 1, 0), 256, recipe.side, recipe.patches)
    for batch in replayed_batches(recipe, step):
        if schedule.progress(step) >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = recipe.tower_rate * schedule.rate(step)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16), cpu_kernels(tower):
            features = tower.vit(pixel_tensor(batch))
            loss = patch_loss(tower, features, batch, recipe.patches)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        average.update(tower)
        step += 1
        if step % 100 == 0:
            log.info("tower step %d, %.0f s: loss %.4f", step, schedule.elapsed_sec, loss.item())
        if step % 500 == 0:
            with average.swapped_into(tower):
                with torch.no_grad():
                    features = tower.vit(pixel_tensor(validation))
                accuracy = patch_accuracy(tower, features, validation, recipe.patches)
            log.info("tower validation: %s", " ".join(f"{name} {value:.4f}" for name, value in accuracy.items()))
            state = {"namer": tower.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step, "spent_sec": schedule.elapsed_sec}, checkpoint)
    with average.swapped_into(tower):
        torch.save({"namer": tower.state_dict(), "steps": step, "spent_sec": schedule.elapsed_sec}, result)
    return result
