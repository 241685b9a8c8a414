"""A copy of the embedded model that computes the same in exact arithmetic, with larger numbers between its layers.

Every block of the language model begins with a normalisation, which divides by the size of what it is given. So what
all blocks add to (the embeddings, the picture's features, the blocks' outputs) can be multiplied by a power of two,
which no binary format rounds: in exact arithmetic only the normalisation's epsilon makes a difference. In float16 the
sum overflows, in bfloat16 and float32 it does not.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from xcomposer_ui.core.settings import EMBEDDED_PATH

ADDING = re.compile(
    r"model\.tok_embeddings\.weight|vision_proj\.2\.(weight|bias)"
    r"|model\.layers\.\d+\.(attention\.wo|feed_forward\.w2)\.(Plora_B\.)?weight"
)
"""Names of the tensors whose products are added to what goes from block to block."""

WEIGHTS = "model.safetensors"


def write_scaled(folder: Path, power: int, source: Path = EMBEDDED_PATH) -> Path:
    """Write the model of `source` to `folder`, scaled by 2 ** `power`; returns the folder."""
    from safetensors.numpy import load_file, save_file

    for file in source.iterdir():
        if file.name != WEIGHTS:
            shutil.copy(file, folder / file.name)
    weights = load_file(source / WEIGHTS)
    scaled = {name: weights[name] * weights[name].dtype.type(2.0**power) for name in weights if ADDING.fullmatch(name)}
    save_file(weights | scaled, folder / WEIGHTS, {"format": "pt"})
    return folder
