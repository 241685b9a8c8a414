"""InternLM-XComposer2: tokens, sizes of its members, and their parameters and KV cache counted from those sizes.

Sizes are from the published config.json files. Those lack the input size of the vision tower and the rules for tiles;
the weights show both: a position embedding of side² + 1 patches, and separators.
"""

from __future__ import annotations

from typing import Any

from xcomposer_ui.core.families.facts import FamilyFacts, LoraFacts, Sizes

TURN_START, TURN_END = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"
IMAGE_MARK = "<ImageHere>"
SEPARATOR = "plora_glb_GN"
"""The tensor between a picture's tiles and the whole picture; single-image members do not have it."""

LORA = LoraFacts(
    ("attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"), rank=64, dropout=0.05
)
"""As in the family's published fine-tuning (InternLM/InternLM-XComposer, finetune/finetune.py)."""

LANGUAGE_DEFAULTS: dict[str, int] = {
    "vocab_size": 92544, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "plora_rank": 256, "img_size": 490,
}  # fmt: skip
"""The single-image 7B member's."""

VISION_DEFAULTS: dict[str, int] = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14,
}  # fmt: skip
"""CLIP ViT-L/14's."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "internlm/internlm-xcomposer2-vl-7b": {},
    "internlm/internlm-xcomposer2-7b": {"img_size": 224},
    "internlm/internlm-xcomposer2-vl-1_8b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "internlm/internlm-xcomposer2-4khd-7b": {"max_length": 16384, "img_size": 336, "tiles": "4khd"},
    "internlm/internlm-xcomposer2d5-7b": {
        "max_length": 16384,
        "img_size": 560,
        "tiles": "2.5",
        "max_position_embeddings": 24576,
    },
}


def parameters(sizes: Sizes, tiled: bool) -> int:
    """Number of parameters of a member with `sizes`."""
    c = _with_defaults(sizes, LANGUAGE_DEFAULTS)
    h, inner, rank = c["hidden_size"], c["intermediate_size"], c["plora_rank"]
    head = h // c["num_attention_heads"]
    queries = c["num_attention_heads"] * head
    packed = queries + 2 * c["num_key_value_heads"] * head

    def plora(ins: int, outs: int) -> int:
        return int(ins * outs + rank * (ins + outs))

    block = plora(h, packed) + plora(queries, h) + 2 * plora(h, inner) + plora(inner, h) + 2 * h
    language = 2 * c["vocab_size"] * h + c["num_hidden_layers"] * block + h
    return int(language + _vision_parameters(c, tiled))


def cache_bytes(sizes: Sizes, tiled: bool, text_tokens: int) -> int:
    """Bytes of 16-bit keys and values of `text_tokens` and one picture (if tiled: of one tile and the whole one)."""
    c = _with_defaults(sizes, LANGUAGE_DEFAULTS)
    tokens = (_side(c) // _vision(c)["patch_size"]) ** 2
    tokens = tokens // 2 if tiled else tokens  # two pictures (the whole and one tile), their patches merged by four
    head = c["hidden_size"] // c["num_attention_heads"]
    return int(2 * 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * head * (tokens + text_tokens))


def _vision_parameters(c: Sizes, tiled: bool) -> int:
    v = _vision(c)
    w, inner, patch = v["hidden_size"], v["intermediate_size"], v["patch_size"]
    embeddings = w + 3 * patch * patch * w + ((_side(c) // patch) ** 2 + 1) * w
    block = 4 * (w * w + w) + 4 * w + (w * inner + inner) + (inner * w + w)
    features = 4 * w if tiled else w
    projector = features * c["hidden_size"] + c["hidden_size"] ** 2 + 2 * c["hidden_size"]
    return int(embeddings + 4 * w + v["num_hidden_layers"] * block + projector + (2 * features if tiled else 0))


def _with_defaults(sizes: Sizes, defaults: Sizes) -> dict[str, Any]:
    return {**defaults, **{name: value for name, value in sizes.items() if value is not None}}


def _vision(c: Sizes) -> dict[str, Any]:
    return _with_defaults(c.get("vision_config") or {}, VISION_DEFAULTS)


def _side(c: Sizes) -> int:
    return int(_vision(c).get("image_size") or c["img_size"])


FACTS = FamilyFacts(
    model_types=("internlmxcomposer2", "internlm2"),
    control_tokens=(TURN_END, TURN_START, "<s>", "</s>", "<unk>"),
    image_mark=IMAGE_MARK,
    tokenizer_files=("tokenizer.model",),
    tensor_prefixes=("model.", "output.", "vit.", "vision_proj.", SEPARATOR, "plora_sub_GN"),
    tiled_by=SEPARATOR,
    stages={"tower": "vit", "projector": "vision_proj", "text": "tok_embeddings", "logits": "output"},
    published=PUBLISHED,
    small_sizes={"plora_rank": 8},
    lora=LORA,
    parameters=parameters,
    cache_bytes=cache_bytes,
)
