"""A tiny model's inputs: a picture and a few words, in the layout of its family's processor. All float32."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends.tiny_models.shrink import IMAGE_IDS

Inputs = dict[str, Tensor]

PATCHES = 4
"""Patches per picture for models that take a sequence of any number of them."""

WORDS = (3, 4, 5)
"""Token ids of the text; their values do not matter."""


def inputs_for(model: Any) -> Inputs:
    """Keyword arguments for the model's `generate` or `forward`: one picture and some text.

    Raises TypeError if the model takes no picture, and what the model raises if its layout is not known here.
    """
    accepted = inspect.signature(model.forward).parameters
    if not {"pixel_values", "flattened_patches"} & set(accepted):
        raise TypeError(f"{type(model).__name__} takes no picture")
    torch.manual_seed(0)
    made = pixels_for(model, accepted)
    if "flattened_patches" in made:  # the text is part of the picture
        return made
    image_token = _first_number(model.config, IMAGE_IDS)
    made["input_ids"] = torch.tensor([[1, *_image_ids(model, made, image_token), *WORDS]])
    made["attention_mask"] = torch.ones_like(made["input_ids"])
    if "mm_token_type_ids" in accepted:
        made["mm_token_type_ids"] = (made["input_ids"] == image_token).int()
    return made | _family_arguments(accepted, made)


def _family_arguments(accepted: Mapping[str, Any], made: Inputs) -> Inputs:
    length, further = made["input_ids"].shape[1], Inputs()
    if "qformer_input_ids" in accepted:
        further["qformer_input_ids"] = torch.tensor([WORDS])
        further["qformer_attention_mask"] = torch.ones_like(further["qformer_input_ids"])
    if "image_embeds_position_mask" in accepted:
        places = torch.arange(length)
        further["image_embeds_position_mask"] = ((places > 0) & (places <= length - 1 - len(WORDS)))[None].long()
    if "cross_attention_mask" in accepted:
        further["cross_attention_mask"] = made["aspect_ratio_mask"][:, None].expand(-1, length, -1, -1)
    return further


def _image_ids(model: Any, pixels: Inputs, image_token: int | None) -> list[int]:
    """The prompt's image tokens, and none for models that insert the picture in another way."""
    config = model.config
    if "aspect_ratio_ids" in pixels:  # by cross-attention
        return []
    if image_token is None:
        return [WORDS[0]] * int(getattr(config, "latent_query_num", 0))
    before = [config.vision_start_token_id] if getattr(config, "vision_start_token_id", None) is not None else []
    after = [config.vision_end_token_id] if getattr(config, "vision_end_token_id", None) is not None else []
    return [*before, *[image_token] * _image_tokens(model, pixels), *after]


def _image_tokens(model: Any, pixels: Inputs) -> int:
    queries = getattr(model.config, "num_query_tokens", None)
    if queries is not None:
        return int(queries)
    features_of = getattr(model, "get_image_features", None) or model.model.get_image_features
    taken = inspect.signature(features_of).parameters
    with torch.no_grad():
        features = features_of(**{name: value for name, value in pixels.items() if name in taken})
    features = getattr(features, "pooler_output", features)
    pictures = features if isinstance(features, (list, tuple)) else [features]
    return sum(picture.numel() // picture.shape[-1] for picture in pictures)


def pixels_for(model: Any, accepted: Mapping[str, Any]) -> Inputs:
    """The arguments of one picture, chosen by the names that the model's `forward` accepts."""
    config = model.config
    vision = getattr(config, "vision_config", config)
    channels = _first_number(vision, ("num_channels", "in_channels", "in_chans")) or 3
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


def _first_number(config: Any, names: tuple[str, ...]) -> int | None:
    return next((int(value) for name in names if (value := getattr(config, name, None)) is not None), None)
