"""A tiny model's inputs: a picture and a few words, in the layout of its family's processor. All float32."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from xcomposer_ui.backends.tiny_models.pixels import Inputs, pixels_for

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
    image_token = getattr(model.config, "image_token_id", None)
    if image_token is None:
        image_token = getattr(model.config, "image_token_index", None)
    made["input_ids"] = torch.tensor([[1, *_image_ids(model, made, image_token), *WORDS]])
    made["attention_mask"] = torch.ones_like(made["input_ids"])
    if "mm_token_type_ids" in accepted:
        made["mm_token_type_ids"] = (made["input_ids"] == image_token).int()
    return made | _family_arguments(accepted, made)


def _family_arguments(accepted: Mapping[str, Any], made: Inputs) -> Inputs:
    """Arguments that only some families need."""
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
