"""Stage one: the vision tower learns to name what lies under each patch, with heads that are thrown away after.

Shape and colour, the cell of the picture that holds the thing's centre, where exactly that centre is, and whether it
lies in this very patch: the last lets the language model count, the others let it say where.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2.vision import CLIP_MEAN, CLIP_STD, VisionTower
from xcomposer_ui.training.averages import Average
from xcomposer_ui.training.clock import Clock
from xcomposer_ui.training.pictures import Batch, batch_sample, batches, mirrored, patch_labels
from xcomposer_ui.training.quick import quick_steps
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.world import COLOURS, PLACES, SHAPES

log = logging.getLogger(__name__)

_KINDS = (len(SHAPES) + 2, len(COLOURS) + 2, len(PLACES) + 2)  # background and "no drawn world" are the last two


class NamingHead(nn.Module):
    """A throw-away head that names patches by their features of `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sum(_KINDS) + 3)

    def named(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, P, width) to logits of shape, colour, place; of holding the centre; and the centre, (N, P, …)."""
        out = self.head(self.norm(features)).float()
        shape, colour, place, holds, centre = out.split((*_KINDS, 1, 2), dim=-1)
        return shape, colour, place, holds.squeeze(-1), centre


class PatchNamer(NamingHead):
    """The tower with its head."""

    def __init__(self, recipe: Recipe) -> None:
        config = recipe.configuration().vision_config
        super().__init__(config.hidden_size)
        self.vit = VisionTower(config)
        start_tower(self.vit)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, side, side) to what `named` gives."""
        return self.named(self.vit(pixels))


def start_tower(vit: VisionTower) -> None:
    """Starting weights: torch's own for the layers, positions small beside the patches."""
    embeddings = vit.vision_tower.vision_model.embeddings
    nn.init.normal_(embeddings.position_embedding.weight, std=0.2)
    nn.init.normal_(embeddings.class_embedding, std=0.2)


def pixels_from(batch: Batch) -> Tensor:
    """The batch's pictures as the tower wants them, (N, 3, side, side) float32."""
    pixels = torch.from_numpy(batch.pixels).float() / 255
    return ((pixels - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 3, 1, 2).contiguous()


def losses(namer: NamingHead, features: Tensor, batch: Batch, patches: int) -> dict[str, Tensor]:
    """Each question's loss. The centre counts only where there is a thing."""
    labels = patch_labels(batch, patches)
    shape, colour, place, holds, centre = namer.named(features)
    there = torch.from_numpy(batch.thing >= 0)
    result = {
        name: F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(wanted).flatten())
        for name, logits, wanted in (
            ("shape", shape, labels.shape),
            ("colour", colour, labels.colour),
            ("place", place, labels.place),
        )
    }
    # Shapes come last by themselves, for a patch must see its neighbours' edges: so they weigh more where they are.
    result["outline"] = F.cross_entropy(shape[there], torch.from_numpy(labels.shape)[there])
    result["holds"] = F.binary_cross_entropy_with_logits(holds, torch.from_numpy(labels.holds))
    result["centre"] = (centre - torch.from_numpy(labels.centre)).abs()[there].mean()
    return result


WEIGHT = {"shape": 1.0, "outline": 1.0, "colour": 1.0, "place": 0.5, "holds": 3.0, "centre": 2.0}


def naming_loss(namer: NamingHead, features: Tensor, batch: Batch, patches: int) -> Tensor:
    """The losses of `losses`, weighed and added up."""
    parts = losses(namer, features, batch, patches)
    return torch.stack([WEIGHT[name] * part for name, part in parts.items()]).sum()


@torch.no_grad()
def score(namer: PatchNamer, batch: Batch, patches: int) -> dict[str, float]:
    """Parts of the patches with a thing that are named rightly; pictures whose centres are all found; mean miss."""
    labels = patch_labels(batch, patches)
    shape, colour, place, holds, centre = (t.numpy() for t in namer(pixels_from(batch)))
    there = batch.thing >= 0
    return {
        "shape": float((shape.argmax(-1) == labels.shape)[there].mean()),
        "colour": float((colour.argmax(-1) == labels.colour)[there].mean()),
        "place": float((place.argmax(-1) == labels.place)[there].mean()),
        "count": float(((holds > 0).sum(1) == labels.holds.sum(1)).mean()),
        "miss": float(np.abs(centre - labels.centre)[there].mean()),
    }


def twice(recipe: Recipe, start: int) -> Iterator[Batch]:
    """What step `start` (an even one), `start + 1`, … learn from: a new batch, then one of before, mirrored.

    Drawing costs about as much as learning, so each batch is used twice.
    """
    pair, delay = start // 2, 4
    first = max(0, pair - delay)
    kept: list[Batch] = []
    drawn = batches(recipe.seed, recipe.tower_batch, recipe.side, recipe.patches, start=first)
    for n, batch in enumerate(drawn, first):
        kept = [*kept[-delay:], batch]
        if n >= pair:
            yield batch
            yield mirrored(kept[0])


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
    for batch in twice(recipe, step):
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
                right = score(namer, unseen, recipe.patches)
            log.info("tower unseen: %s", " ".join(f"{name} {value:.4f}" for name, value in right.items()))
            state = {"namer": namer.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step, "spent_sec": clock.elapsed_sec}, checkpoint)
    with average.swapped_into(namer):
        torch.save({"namer": namer.state_dict(), "steps": step, "spent_sec": clock.elapsed_sec}, done)
    return done
