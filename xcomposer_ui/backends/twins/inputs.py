"""What a twin is asked: a picture and a few words, laid out as its family's processor lays them out. All float32."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

WORDS = (3, 4, 5)
"""Token ids that stand for text; any will do."""

Inputs = dict[str, Tensor]


def inputs_for(model: Any) -> Inputs:
    """Keyword arguments for the model's `generate` or `forward`, of one picture among words.

    Raises TypeError where the model takes no picture, and whatever the model raises where its layout is none of those
    known here.
    """
    config = model.config
    vision = getattr(config, "vision_config", config)
    accepted = inspect.signature(model.forward).parameters
    if "pixel_values" not in accepted:
        raise TypeError(f"{type(model).__name__} takes no picture")
    torch.manual_seed(0)
    made = _pixels(config, vision, accepted)
    image_token = getattr(config, "image_token_id", None)
    if image_token is None:
        image_token = getattr(config, "image_token_index", None)
    ids = [1, *_image_ids(model, config, made, image_token), *WORDS]
    made["input_ids"] = torch.tensor([ids])
    made["attention_mask"] = torch.ones_like(made["input_ids"])
    if "mm_token_type_ids" in accepted:
        made["mm_token_type_ids"] = (made["input_ids"] == image_token).int()
    return made


def _pixels(config: Any, vision: Any, accepted: Mapping[str, Any]) -> Inputs:
    side = _side(getattr(vision, "image_size", None))
    channels = _first_number(vision, ("num_channels", "in_channels", "in_chans"), 3)
    if "image_grid_thw" in accepted:  # patches of all pictures one after the other
        merge, patch = int(vision.spatial_merge_size), _side(vision.patch_size)
        grid = torch.tensor([[1, 2 * merge, 2 * merge]])
        values = channels * _side(getattr(vision, "temporal_patch_size", 1)) * patch**2
        return {"pixel_values": torch.rand(int(grid.prod()), values), "image_grid_thw": grid}
    if "pixel_attention_mask" in accepted:  # several pictures a prompt, padded
        mask = torch.ones(1, 1, side, side, dtype=torch.bool)
        return {"pixel_values": torch.rand(1, 1, channels, side, side), "pixel_attention_mask": mask}
    if getattr(config, "image_grid_pinpoints", None):  # the picture small, then its tiles
        sizes = torch.tensor([[side, side]])
        return {"pixel_values": torch.rand(1, 2, channels, side, side), "image_sizes": sizes}
    if "image_sizes" in accepted and getattr(vision, "model_type", "") == "pixtral":  # pictures of any size, padded
        return {"pixel_values": torch.rand(1, channels, side, side), "image_sizes": torch.tensor([[side, side]])}
    return {"pixel_values": torch.rand(1, channels, side, side)}


def _image_ids(model: Any, config: Any, pixels: Inputs, image_token: int | None) -> list[int]:
    """As many image tokens as the picture takes, and none for models that put it in otherwise."""
    if image_token is None:
        return []
    before = [config.vision_start_token_id] if getattr(config, "vision_start_token_id", None) is not None else []
    after = [config.vision_end_token_id] if getattr(config, "vision_end_token_id", None) is not None else []
    return [*before, *[image_token] * _image_tokens(model, config, pixels), *after]


def _image_tokens(model: Any, config: Any, pixels: Inputs) -> int:
    queries = getattr(config, "num_query_tokens", None)
    if queries is not None:
        return int(queries)
    taken = inspect.signature(model.get_image_features).parameters
    with torch.no_grad():
        features = model.get_image_features(**{name: value for name, value in pixels.items() if name in taken})
    features = getattr(features, "pooler_output", features)
    pictures = features if isinstance(features, (list, tuple)) else [features]
    return sum(picture.numel() // picture.shape[-1] for picture in pictures)


def _side(size: Any) -> int:
    """One side in pixels of a size that is a number, a pair or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("longest_edge")
    if isinstance(size, (list, tuple)):
        size = size[0]
    return int(size) if size else 224


def _first_number(config: Any, names: tuple[str, ...], otherwise: int) -> int:
    return next((int(value) for name in names if (value := getattr(config, name, None)) is not None), otherwise)
