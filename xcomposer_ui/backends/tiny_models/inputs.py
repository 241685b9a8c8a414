"""A tiny model's inputs: a picture and a few words, in the layout of its family's processor. All float32."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from xcomposer_ui.backends.tiny_models.pixels import Inputs, pixels_for

WORDS = (3, 4, 5)
"""Token ids that stand for text; any will do."""


def inputs_for(model: Any) -> Inputs:
    """Keyword arguments for the model's `generate` or `forward`, of one picture among words.

    Raises TypeError where the model takes no picture, and whatever the model raises where its layout is none of those
    known here.
    """
    accepted = inspect.signature(model.forward).parameters
    if not {"pixel_values", "flattened_patches"} & set(accepted):
        raise TypeError(f"{type(model).__name__} takes no picture")
    torch.manual_seed(0)
    made = pixels_for(model, accepted)
    if "flattened_patches" in made:  # the words are in the picture
        return made
    image_token = getattr(model.config, "image_token_id", None)
    if image_token is None:
        image_token = getattr(model.config, "image_token_index", None)
    made["input_ids"] = torch.tensor([[1, *_image_ids(model, made, image_token), *WORDS]])
    made["attention_mask"] = torch.ones_like(made["input_ids"])
    if "mm_token_type_ids" in accepted:
        made["mm_token_type_ids"] = (made["input_ids"] == image_token).int()
    return made | _beside(model, made)


def _beside(model: Any, made: Inputs) -> Inputs:
    """Arguments that single families need besides."""
    accepted = inspect.signature(model.forward).parameters
    words, beside = made["input_ids"], Inputs()
    if "qformer_input_ids" in accepted:
        beside["qformer_input_ids"] = torch.tensor([WORDS])
        beside["qformer_attention_mask"] = torch.ones_like(beside["qformer_input_ids"])
    if "image_embeds_position_mask" in accepted:
        places = torch.arange(words.shape[1])
        beside["image_embeds_position_mask"] = ((places > 0) & (places <= words.shape[1] - 1 - len(WORDS)))[None].long()
    if "cross_attention_mask" in accepted:
        beside["cross_attention_mask"] = made["aspect_ratio_mask"][:, None].expand(-1, words.shape[1], -1, -1)
    return beside


def _image_ids(model: Any, pixels: Inputs, image_token: int | None) -> list[int]:
    """As many image tokens as the picture takes, and none for models that put it in otherwise."""
    config = model.config
    if "aspect_ratio_ids" in pixels:  # reached by attention across, not in the place of tokens
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
