"""Sizes of the models that the page offers, from their files on this machine. Loads no model and no framework.

Figures come from the headers of safetensors files, else from the configuration, which is known for published models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.core.strategies import WeightsFormat
from xcomposer_ui.planning.published import PUBLISHED_SIZES

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
PARTS = ("model.", "output.", "vit.", "vision_proj.", "plora_glb_GN", "plora_sub_GN")
"""How the names of a member's tensors begin; others in a checkpoint are not loaded."""

TEXT_TOKENS = 512
"""Of question and answer, for which the KV cache is counted beside the picture's."""

LANGUAGE = {
    "vocab_size": 92544, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "plora_rank": 256, "img_size": 490,
}  # fmt: skip
VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
"""What a configuration that leaves them out means: the single-image 7B member, and CLIP ViT-L/14."""


@dataclass(frozen=True)
class Entry:
    """One model. None: not known here.

    disk_bytes: of its weight files here. parameters: of the model. cache_bytes: of the keys and values of one picture
    and TEXT_TOKENS in 16 bits. here: whether it can be loaded without a download.
    """

    name: str
    here: bool
    disk_bytes: int | None = None
    parameters: int | None = None
    cache_bytes: int | None = None

    def needed_bytes(self, weights: WeightsFormat) -> int | None:
        """Weights and KV cache in bytes where the weights are held as `weights`; activations come on top."""
        if self.parameters is None or self.cache_bytes is None:
            return None
        width = weights.bytes_per_parameter
        return int(self.parameters * width + self.cache_bytes * width / 2)


def entry_of(name: str) -> Entry:
    """What is known of `name` ("embedded", a folder or a hub id) without loading or downloading anything."""
    folder = folder_of(name)
    config = _config(folder) if folder is not None else None
    here = config is not None
    config = PUBLISHED_SIZES.get(name) if config is None else config
    files = _weight_files(folder) if folder is not None else []
    parameters = _counted(files) or (None if config is None else parameters_of(config, _is_tiled(config, files)))
    return Entry(
        name=name,
        here=here and bool(files),
        disk_bytes=sum(file.stat().st_size for file in files) or None,
        parameters=parameters,
        cache_bytes=None if config is None else cache_bytes_of(config, _is_tiled(config, files)),
    )


def tiled(name: str) -> bool | None:
    """Whether `name` cuts pictures into tiles, without loading it; None where that is unknown here."""
    folder = folder_of(name)
    if folder is None:
        return bool(PUBLISHED_SIZES[name].get("tiles")) if name in PUBLISHED_SIZES else None
    config, files = _config(folder), _weight_files(folder)
    if config is None:
        return None
    if _is_tiled(config, files):
        return True
    # Only headers that could all be read show that the separators are not there.
    return False if _counted(files) and not _lacks_files(folder) else None


def folder_of(name: str) -> Path | None:
    """The folder of `name` on this machine, in the hub's cache where it is a hub id; None where there is none."""
    folder = model_path(name)
    if folder is not None:
        return folder if folder.is_dir() else None
    if not is_hub_id(name):
        return None
    from huggingface_hub import try_to_load_from_cache  # imported by gradio anyway; opens no connection

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no hub id
        return None
    return Path(found).parent if isinstance(found, str) else None


def parameters_of(config: Mapping[str, Any], tiled: bool = False) -> int:
    """Parameters of a member with this configuration, counted."""
    c = {**LANGUAGE, **{name: value for name, value in config.items() if value is not None}}
    h, inner, rank = c["hidden_size"], c["intermediate_size"], c["plora_rank"]
    width = h // c["num_attention_heads"]
    queries, packed = (
        c["num_attention_heads"] * width,
        (c["num_attention_heads"] + 2 * c["num_key_value_heads"]) * width,
    )

    def plora(ins: int, outs: int) -> int:
        return int(ins * outs + rank * (ins + outs))

    block = plora(h, packed) + plora(queries, h) + 2 * plora(h, inner) + plora(inner, h) + 2 * h
    language = 2 * c["vocab_size"] * h + c["num_hidden_layers"] * block + h
    return int(language + _vision_parameters(c, tiled))


def cache_bytes_of(config: Mapping[str, Any], tiled: bool = False) -> int:
    """Keys and values, in 16 bits, of one picture (one tile's and the whole's, if tiled) and TEXT_TOKENS."""
    c = {**LANGUAGE, **{name: value for name, value in config.items() if value is not None}}
    tokens = (_side(c) // _vision(c)["patch_size"]) ** 2
    tokens = tokens // 2 if tiled else tokens  # merged by four, of the whole picture and of one tile
    width = c["hidden_size"] // c["num_attention_heads"]
    return int(2 * 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * width * (tokens + TEXT_TOKENS))


def _vision_parameters(c: Mapping[str, Any], tiled: bool) -> int:
    v = _vision(c)
    w, inner, patch = v["hidden_size"], v["intermediate_size"], v["patch_size"]
    embeddings = w + 3 * patch * patch * w + ((_side(c) // patch) ** 2 + 1) * w
    block = 4 * (w * w + w) + 4 * w + (w * inner + inner) + (inner * w + w)
    features = 4 * w if tiled else w
    projector = features * c["hidden_size"] + c["hidden_size"] ** 2 + 2 * c["hidden_size"]
    return int(embeddings + 4 * w + v["num_hidden_layers"] * block + projector + (2 * features if tiled else 0))


def _vision(c: Mapping[str, Any]) -> dict[str, Any]:
    return {**VISION, **{name: value for name, value in (c.get("vision_config") or {}).items() if value is not None}}


def _side(c: Mapping[str, Any]) -> int:
    return int(_vision(c).get("image_size") or c["img_size"])


def _is_tiled(config: Mapping[str, Any], files: list[Path]) -> bool:
    return bool(config.get("tiles")) or any("plora_glb_GN" in _shapes(file) for file in files)


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def _weight_files(folder: Path) -> list[Path]:
    """The files that would be loaded: of the first format that is there."""
    return next((files for pattern in WEIGHTS if (files := sorted(folder.glob(pattern)))), [])


def _counted(files: list[Path]) -> int | None:
    """Parameters by the headers of safetensors files; None where one is not readable."""
    headers = [_shapes(file) for file in files]
    if not all(headers):
        return None
    return (
        sum(math.prod(shape) for header in headers for name, shape in header.items() if name.startswith(PARTS)) or None
    )


def _lacks_files(folder: Path) -> bool:
    """Whether the index names files that are not here: a download in its middle."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return False
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return True
    return not all((folder / name).is_file() for name in named)


def _shapes(file: Path) -> dict[str, list[int]]:
    """Name -> shape of the tensors in a safetensors file; empty for any other file, and a broken one."""
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="np") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}
