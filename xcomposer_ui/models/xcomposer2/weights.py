"""Determines which member of the family a checkpoint is from its weights' names and shapes, without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import safe_open
from transformers import CLIPVisionConfig

from xcomposer_ui.core.families.xcomposer2 import SEPARATOR
from xcomposer_ui.models.base import WEIGHT_FILES
from xcomposer_ui.models.xcomposer2.configuration import InternLMXComposer2Config

POSITIONS = "vit.vision_tower.vision_model.embeddings.position_embedding.weight"
SIDE_OF_4KHD = 336
"""Pixels; the one tiled member with this tower is 4KHD, and it alone has its rules."""


def fit_to_weights(config: InternLMXComposer2Config, source: str, **hub: Any) -> None:
    """Set `config`'s tower side and tile rules by the checkpoint at `source`, a folder or a hub id.

    Tiled members have separators among their weights; the tower has side² + 1 position embeddings, side in patches.
    `config` is not changed if the checkpoint has no such weights; loading then reports them as missing.
    """
    shapes = _shapes(source, (SEPARATOR, POSITIONS), **hub)
    if POSITIONS in shapes:
        patches = round((shapes[POSITIONS][0] - 1) ** 0.5)
        side = patches * int(config.vision_config.patch_size)
        if side != config.tower_side:
            fields = {**config.vision_config.to_dict(), "image_size": side}
            config.vision_config = CLIPVisionConfig(**fields)
    if SEPARATOR in shapes and config.tiles is None:
        config.tiles = "4khd" if config.tower_side == SIDE_OF_4KHD else "2.5"


def _shapes(source: str, names: tuple[str, ...], **hub: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of those of `names` that the checkpoint has."""
    found = next((file for name in WEIGHT_FILES if (file := _file(source, name, **hub))), None)
    if found is None:
        return {}
    files: set[Path | None] = {found}
    if found.suffix == ".json":
        shards = json.loads(found.read_text(encoding="utf-8"))["weight_map"]
        files = {_file(source, shards[name], **hub) for name in names if name in shards}
    return {name: shape for file in files if file for name, shape in _shapes_in(file, names).items()}


def _shapes_in(file: Path, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            present = set(tensors.keys())
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names if name in present}
    tensors = torch.load(file, map_location="meta", weights_only=True, mmap=True)
    return {name: tuple(tensors[name].shape) for name in names if name in tensors}


def _file(source: str, name: str, **hub: Any) -> Path | None:
    """The checkpoint's file `name`, downloaded if `source` is a hub id; None if it has none, or without a network."""
    if Path(source).is_dir():
        found = Path(source, hub.get("subfolder") or "", name)
        return found if found.is_file() else None
    try:
        return Path(hf_hub_download(source, name, **hub))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError):
        return None
