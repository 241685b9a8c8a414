"""Configurations in the sizes of published image-text models, written as the config.json of their checkpoints."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

CLIP_L = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
    "num_hidden_layers": 24, "image_size": 56, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16,
    "num_hidden_layers": 27, "image_size": 56, "patch_size": 14,
}  # fmt: skip
LLAMA_7B = {"model_type": "llama", "vocab_size": 32064, "hidden_size": 4096, "intermediate_size": 11008}
LLAMA_7B |= {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32}

CONFIGS: dict[str, dict[str, Any]] = {
    "llava": {
        "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": 32000,
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "dtype": "float16",
        "vision_config": CLIP_L, "text_config": LLAMA_7B,
    },
    "qwen2_vl": {
        "model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"], "dtype": "bfloat16",
        "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vision_config": {
            "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3, "hidden_size": 3584,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
    },
    "paligemma": {
        "model_type": "paligemma", "architectures": ["PaliGemmaForConditionalGeneration"], "dtype": "bfloat16",
        "image_token_index": 257152, "projection_dim": 2048, "hidden_size": 2048, "vocab_size": 257216,
        "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
        "vision_config": SIGLIP | {"projection_dim": 2048},
        "text_config": {
            "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_attention_heads": 8,
            "num_hidden_layers": 18, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 257216,
        },
    },
    "smolvlm": {
        "model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"], "dtype": "bfloat16",
        "image_token_id": 49190, "scale_factor": 2, "pad_token_id": 2,
        "vision_config": {
            "model_type": "smolvlm_vision", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
            "num_hidden_layers": 12, "image_size": 64, "patch_size": 16,
        },
        "text_config": {
            "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9,
            "num_hidden_layers": 30, "num_key_value_heads": 3, "vocab_size": 49280, "pad_token_id": 2,
        },
    },
    "blip_2": {
        "model_type": "blip-2", "architectures": ["Blip2ForConditionalGeneration"], "dtype": "float16",
        "image_token_index": 50265, "num_query_tokens": 32,
        "vision_config": {
            "model_type": "blip_2_vision_model", "hidden_size": 1408, "intermediate_size": 6144,
            "num_attention_heads": 16, "num_hidden_layers": 39, "image_size": 56, "patch_size": 14,
        },
        "qformer_config": {
            "model_type": "blip_2_qformer", "hidden_size": 768, "encoder_hidden_size": 1408, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 3072,
        },
        "text_config": {
            "model_type": "opt", "hidden_size": 2560, "ffn_dim": 10240, "num_attention_heads": 32,
            "num_hidden_layers": 32, "word_embed_proj_dim": 2560, "vocab_size": 50304,
        },
    },
    "xcomposer2": {
        "model_type": "internlmxcomposer2", "architectures": ["InternLMXComposer2ForCausalLM"], "dtype": "float16",
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 92544, "img_size": 70, "max_length": 4096,
        "vision_config": {"image_size": 70},
    },
}  # fmt: skip
"""The pictures alone are smaller than published: a tower's side changes no dtype."""


def write_config(folder: Path, family: str, **changes: Any) -> Path:
    """A folder with that family's config.json and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[family] | changes), "utf-8")
    return folder


def skip_where_it_is_broken(family: str) -> None:
    """SmolVLM in transformers 5.20.2, the newest for Python 3.10, takes the patch size for the image tokens."""
    version = metadata.version("transformers")
    if family.lower() == "smolvlm" and Version("5.20") < Version(version) < Version("5.21"):
        pytest.skip(f"transformers {version} answers no SmolVLM but of one size, and check-dtypes says so")
