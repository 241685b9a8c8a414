"""The published members' sizes, so that planning them needs no download at all.

From their config.json files on the hub; those hold neither the tower's side nor the rules for tiles, which their
weights tell (a position embedding of side² + 1 patches, separators).
"""

from __future__ import annotations

from typing import Any

_TILED: dict[str, Any] = {"max_length": 16384}

PUBLISHED_SIZES: dict[str, dict[str, Any]] = {
    "internlm/internlm-xcomposer2-vl-7b": {},
    "internlm/internlm-xcomposer2-7b": {"img_size": 224},
    "internlm/internlm-xcomposer2-vl-1_8b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "internlm/internlm-xcomposer2-4khd-7b": {**_TILED, "img_size": 336, "tiles": "4khd"},
    "internlm/internlm-xcomposer2d5-7b": {
        **_TILED,
        "img_size": 560,
        "tiles": "2.5",
        "max_position_embeddings": 24576,
    },
}
"""Hub id -> what differs from the configuration's defaults."""
