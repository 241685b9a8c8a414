"""A picture in the layout of a family's processor: a square, tiles, a sequence of patches. All float32."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Inputs = dict[str, Tensor]

PATCHES = 4
"""Patches per picture for models that take a sequence of any number of them."""


def pixels_for(model: Any, accepted: Mapping[str, Any]) -> Inputs:
    """The arguments of one picture, chosen by the names that the model's `forward` accepts."""
    config = model.config
    vision = getattr(config, "vision_config", config)
    channels = _first_number(vision, ("num_channels", "in_channels", "in_chans"), 3)
    if "flattened_patches" in accepted:
        return _rows_and_columns(vision, channels)
    side = side_of(getattr(vision, "image_size", None))
    if "image_grid_thw" in accepted and hasattr(vision, "spatial_merge_size"):
        return _grid(vision, channels)
    if "spatial_shapes" in accepted:
        return _patches_in_a_row(vision, channels)
    if "aspect_ratio_ids" in accepted:
        return _tiles_of_a_shape(vision, channels, side)
    if "pixel_attention_mask" in accepted:  # several pictures per prompt, padded
        mask = torch.ones(1, 1, side, side, dtype=torch.bool)
        return {"pixel_values": torch.rand(1, 1, channels, side, side), "pixel_attention_mask": mask}
    if getattr(config, "image_grid_pinpoints", None):  # the picture small, then its tiles
        tiles = _tile_count(model, side)
        sizes = torch.tensor([[side, side]])
        return {"pixel_values": torch.rand(1, tiles, channels, side, side), "image_sizes": sizes}
    if "image_sizes" in accepted and getattr(vision, "model_type", "") == "pixtral":  # pictures of any size, padded
        return {"pixel_values": torch.rand(1, channels, side, side), "image_sizes": torch.tensor([[side, side]])}
    return {"pixel_values": torch.rand(1, channels, side, side)}


def _grid(vision: Any, channels: int) -> Inputs:
    """Patches of all pictures in one sequence, with each picture's rows and columns."""
    merge, patch = int(vision.spatial_merge_size), side_of(vision.patch_size)
    grid = torch.tensor([[1, 2 * merge, 2 * merge]])
    values = channels * side_of(getattr(vision, "temporal_patch_size", 1)) * patch**2
    return {"pixel_values": torch.rand(int(grid.prod()), values), "image_grid_thw": grid}


def _rows_and_columns(vision: Any, channels: int) -> Inputs:
    """Patches, each with its row and column before its values."""
    places = torch.tensor([[row, column] for row in (1, 2) for column in (1, 2)])
    width = getattr(vision, "patch_embed_hidden_size", None) or channels * side_of(vision.patch_size) ** 2
    values = torch.cat([places.float(), torch.rand(PATCHES, int(width))], dim=1)
    return {"flattened_patches": values[None], "attention_mask": torch.ones(1, PATCHES)}


def _patches_in_a_row(vision: Any, channels: int) -> Inputs:
    shape = torch.tensor([[PATCHES, PATCHES]])
    values = torch.rand(1, PATCHES**2, channels * side_of(vision.patch_size) ** 2)
    mask = torch.ones(1, PATCHES**2, dtype=torch.long)
    return {"pixel_values": values, "spatial_shapes": shape, "pixel_attention_mask": mask}


def _tiles_of_a_shape(vision: Any, channels: int, side: int) -> Inputs:
    """One tile, padded to the most tiles, and the number of their arrangement."""
    most = int(vision.max_num_tiles)
    mask = torch.zeros(1, 1, most, dtype=torch.long)
    mask[..., 0] = 1
    pixels = torch.rand(1, 1, most, channels, side, side)
    return {"pixel_values": pixels, "aspect_ratio_ids": torch.ones(1, 1, dtype=torch.long), "aspect_ratio_mask": mask}


def _tile_count(model: Any, side: int) -> int:
    """The number of tiles, the whole picture included, by the family's own function."""
    counted = getattr(sys.modules[type(model).__module__], "image_size_to_num_patches", None)
    return int(counted([side, side], model.config.image_grid_pinpoints, side)) if counted else 2


def side_of(size: Any) -> int:
    """One side in pixels of a size that is a number, a pair or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("longest_edge")
    if isinstance(size, (list, tuple)):
        size = size[0]
    return int(size) if size else 224


def _first_number(config: Any, names: tuple[str, ...], otherwise: int) -> int:
    return next((int(value) for name in names if (value := getattr(config, name, None)) is not None), otherwise)
