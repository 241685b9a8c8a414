"""What a checkpoint's weights tell of its member, read from their names and shapes without loading them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import CLIPVisionConfig
from transformers.utils import cached_file

from xcomposer_ui.models.xcomposer2.configuration import InternLMXComposer2Config

SEPARATOR = "plora_glb_GN"
POSITIONS = "vit.vision_tower.vision_model.embeddings.position_embedding.weight"
SIDE_OF_4KHD = 336
"""Pixels; the one tiled member with this tower is 4KHD, and it alone has its rules."""

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def fit_to_weights(config: InternLMXComposer2Config, source: str, **hub: Any) -> None:
    """Set `config`'s tower side and tile rules by the checkpoint at `source`, a folder or a hub id.

    Tiled members carry separators among their weights; the tower's position embeddings are side² + 1 in patches.
    Leaves `config` as it is where the checkpoint has no such weights: loading will name what is missing.
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


@contextmanager
def without_load_report() -> Iterator[None]:
    """Within, the library's table of tensors that do not match is not logged: what matters of it is said by name."""
    logger = logging.getLogger("transformers.modeling_utils")

    def wanted(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def _shapes(source: str, names: tuple[str, ...], **hub: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of those of `names` that the checkpoint has."""
    found = next((file for name in WEIGHT_FILES if (file := _file(source, name, **hub))), None)
    if found is None:
        return {}
    files = dict.fromkeys(names, found)
    if found.suffix == ".json":
        shards = json.loads(found.read_text(encoding="utf-8"))["weight_map"]
        located = {name: _file(source, shards[name], **hub) for name in names if name in shards}
        files = {name: file for name, file in located.items() if file is not None}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in set(files.values()):
        shapes.update(_shapes_in(file, names))
    return shapes


def _shapes_in(file: Path, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            present = set(tensors.keys())
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names if name in present}
    tensors = torch.load(file, map_location="meta", weights_only=True, mmap=True)
    return {name: tuple(tensors[name].shape) for name in names if name in tensors}


def _file(source: str, name: str, **hub: Any) -> Path | None:
    found = cached_file(
        source,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
        **hub,
    )
    return None if found is None else Path(found)
