"""Stage one: the vision tower learns to name what lies under each patch, with heads that are thrown away after.

Shape, colour and place, what of the patch is covered, where exactly the thing's centre is, how many things there are
in all and of its kind, and which of them it is in a description (`labels`): a batch of pictures costs the tower a tenth
of what it costs the whole model, so whatever the tower can learn it learns here.
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
from xcomposer_ui.training.averages import Average
from xcomposer_ui.training.clock import Clock
from xcomposer_ui.training.labels import EVERYWHERE, OF_THINGS, patch_labels
from xcomposer_ui.training.pictures import CELLS, Batch, batch_sample, batches, mirrored
from xcomposer_ui.training.quick import quick_steps
from xcomposer_ui.training.recipe import Recipe

log = logging.getLogger(__name__)

_CLASSES = EVERYWHERE | OF_THINGS

Named = dict[str, Tensor]
"""A head's answers, (N, P, …): the logits of each name's classes; "density" and "cover" as logits; and "centre"."""


class NamingHead(nn.Module):
    """A throw-away head that names patches by their features of `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sum(_CLASSES.values()) + 3 + CELLS * CELLS)

    def named(self, features: Tensor) -> Named:
        """(N, P, width) to what the head says of each patch."""
        sizes = {**_CLASSES, "density": 1, "centre": 2, "cover": CELLS * CELLS}
        said = self.head(self.norm(features)).float().split(tuple(sizes.values()), dim=-1)
        named = dict(zip(sizes, said, strict=True))
        return named | {"density": named["density"].squeeze(-1)}


class PatchNamer(NamingHead):
    """The tower with its head."""

    def __init__(self, recipe: Recipe) -> None:
        config = recipe.configuration().vision_config
        super().__init__(config.hidden_size)
        self.vit = VisionTower(config)
        start_tower(self.vit)

    def forward(self, pixels: Tensor) -> Named:
        """(N, 3, side, side) to what `named` gives."""
        return self.named(self.vit(pixels))


def start_tower(vit: VisionTower) -> None:
    """Starting weights: torch's own for the layers; positions as waves across and down the picture.

    With waves, near patches start out alike: a patch finds its neighbours, and with them a shape's outline, far
    sooner than from random positions.
    """
    embeddings = vit.vision_tower.vision_model.embeddings
    nn.init.normal_(embeddings.class_embedding, std=0.2)
    weight = embeddings.position_embedding.weight  # (1 + patches², width)
    patches, quarter = math.isqrt(weight.shape[0] - 1), weight.shape[1] // 4
    frequencies = math.pi / 2 * (1 / 12) ** (torch.arange(quarter) / max(quarter - 1, 1))
    angles = torch.arange(patches)[:, None] * frequencies  # (patches, quarter)
    along = torch.cat((angles.sin(), angles.cos()), dim=1)
    rows, columns = along.repeat_interleave(patches, dim=0), along.repeat(patches, 1)
    with torch.no_grad():
        weight.zero_()
        weight[1:, : 4 * quarter] = 0.5 * torch.cat((rows, columns), dim=1)


def pixels_from(batch: Batch) -> Tensor:
    """The batch's pictures as the tower wants them, (N, 3, side, side) float32."""
    pixels = torch.from_numpy(batch.pixels).float() / 255
    return ((pixels - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 3, 1, 2).contiguous()


def losses(namer: NamingHead, features: Tensor, batch: Batch, patches: int) -> dict[str, Tensor]:
    """Each question's loss. What is asked of things counts only where there is one."""
    labels = patch_labels(batch, patches)
    named = namer.named(features)
    there = torch.from_numpy(labels.there)
    result = {}
    for name in _CLASSES:
        logits, wanted = named[name], torch.from_numpy(labels.classes[name])
        if name in EVERYWHERE:
            result[name] = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        if name in OF_THINGS or name == "shape":
            # Shapes come last by themselves, for a patch must see its neighbours' edges: so they weigh twice there.
            result["outline" if name == "shape" else name] = F.cross_entropy(logits[there], wanted[there])
    result["density"] = F.binary_cross_entropy_with_logits(named["density"], torch.from_numpy(labels.density))
    covered = torch.from_numpy(batch.cover).flatten(2) / 255
    result["cover"] = F.binary_cross_entropy_with_logits(named["cover"], covered)
    result["centre"] = (named["centre"] - torch.from_numpy(labels.centre)).abs()[there].mean()
    return result


WEIGHT = {"shape": 1.0, "outline": 1.5, "colour": 1.0, "place": 0.5, "total": 0.5}
WEIGHT |= {"density": 3.0, "centre": 4.0, "cover": 3.0}
WEIGHT |= dict.fromkeys(OF_THINGS, 0.3)


def naming_loss(namer: NamingHead, features: Tensor, batch: Batch, patches: int) -> Tensor:
    """The losses of `losses`, weighed and added up."""
    parts = losses(namer, features, batch, patches)
    return torch.stack([WEIGHT[name] * part for name, part in parts.items()]).sum()


@torch.no_grad()
def score(head: NamingHead, features: Tensor, batch: Batch, patches: int) -> dict[str, float]:
    """What the head gets right from `features`, (N, P, width).

    Each name's share of right patches (those with a thing); "count": pictures whose density adds up to the number of
    things; "miss": how far the centre is off, as a part of the picture.
    """
    labels = patch_labels(batch, patches)
    named = head.named(features)
    result = {
        name: float((named[name].argmax(-1).numpy() == wanted)[labels.there].mean())
        for name, wanted in labels.classes.items()
    }
    counted = named["density"].sigmoid().sum(1).round().numpy()
    result["count"] = float((counted == [len(scene.things) for scene in batch.scenes]).mean())
    return result | {"miss": float(np.abs(named["centre"].numpy() - labels.centre)[labels.there].mean())}


USES = (0, 4, 36, 40)
"""How many batches ago each use of a batch is drawn from; the second and the last see it mirrored."""


def reused(recipe: Recipe, start: int) -> Iterator[Batch]:
    """What step `start` (a multiple of four), `start + 1`, … learn from: a new batch, then three of before.

    Drawing costs about as much as learning, so each batch is used four times.
    """
    number, most = start // len(USES), max(USES)
    first = max(0, number - most)
    kept: list[Batch] = []
    drawn = batches(recipe.seed, recipe.tower_batch, recipe.side, recipe.patches, start=first)
    for n, batch in enumerate(drawn, first):
        kept = [*kept[-most:], batch]
        if n >= number:
            for use, ago in enumerate(USES):
                then = kept[max(0, len(kept) - 1 - ago)]
                yield mirrored(then) if use % 2 else then


def train_tower(recipe: Recipe, folder: Path, budget_sec: float | None = None) -> Path:
    """Run stage one, or go on with it; returns the file of the tower's averaged weights."""
    done, checkpoint = folder / "tower.pt", folder / "tower-checkpoint.pt"
    if done.exists():
        return done
    torch.manual_seed(recipe.seed)
    namer = PatchNamer(recipe)
    average = Average(namer, recipe.average)
    optimizer = torch.optim.AdamW(namer.parameters(), lr=recipe.tower_rate, betas=(0.9, 0.98), weight_decay=0.02)
    step, clock = 0, Clock(recipe.tower_steps, budget_sec)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        namer.load_state_dict(state["namer"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, clock.spent_sec = state["step"], state["spent_sec"]
    unseen = batch_sample((recipe.seed + 1, 0), 256, recipe.side, recipe.patches)
    for batch in reused(recipe, step):
        if clock.progress(step) >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = recipe.tower_rate * clock.rate(step)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16), quick_steps():
            features = namer.vit(pixels_from(batch))
            loss = naming_loss(namer, features, batch, recipe.patches)
        loss.backward()
        nn.utils.clip_grad_norm_(namer.parameters(), 1.0)
        optimizer.step()
        average.update(namer)
        step += 1
        if step % 100 == 0:
            log.info("tower step %d, %.0f s: loss %.4f", step, clock.elapsed_sec, loss.item())
        if step % 500 == 0:
            with average.swapped_into(namer):
                with torch.no_grad():
                    features = namer.vit(pixels_from(unseen))
                right = score(namer, features, unseen, recipe.patches)
            log.info("tower unseen: %s", " ".join(f"{name} {value:.4f}" for name, value in right.items()))
            state = {"namer": namer.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step, "spent_sec": clock.elapsed_sec}, checkpoint)
    with average.swapped_into(namer):
        torch.save({"namer": namer.state_dict(), "steps": step, "spent_sec": clock.elapsed_sec}, done)
    return done
