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

from xcomposer_ui.core.families import family_of, publisher_of
from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.core.strategies import WeightsFormat

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

TEXT_TOKENS = 512
"""Tokens of question and answer in the KV cache's size, beside those of the picture."""


@dataclass(frozen=True)
class Entry:
    """One model. None: unknown on this machine.

    is_local: whether it can be loaded without a download. disk_bytes: of its weight files on this machine.
    parameters: number of them. cache_bytes: of the 16-bit keys and values of one picture and TEXT_TOKENS.
    """

    name: str
    is_local: bool
    disk_bytes: int | None = None
    parameters: int | None = None
    cache_bytes: int | None = None

    def needed_bytes(self, weights: WeightsFormat) -> int | None:
        """Bytes of weights and KV cache in the format `weights`, without activations; None where unknown."""
        if self.parameters is None or self.cache_bytes is None:
            return None
        width = weights.bytes_per_parameter
        return int(self.parameters * width + self.cache_bytes * width / 2)


def entry_of(name: str) -> Entry:
    """The entry of `name` ("embedded", a folder or a hub id). Loads and downloads nothing."""
    folder = folder_of(name)
    found = _config(folder) if folder is not None else None
    publisher = publisher_of(name)
    config = publisher.published[name] if found is None and publisher else found
    facts = publisher or _facts(config)
    files = weight_files(folder) if folder is not None else []
    parameters = _parameter_count(files, facts)
    cache_bytes = None
    if config is not None and facts is not None:
        is_tiled = _is_tiled(config, files, facts)
        if parameters is None and facts.parameters is not None:
            parameters = facts.parameters(config, is_tiled)
        if facts.cache_bytes is not None:
            cache_bytes = facts.cache_bytes(config, is_tiled, TEXT_TOKENS)
    return Entry(
        name=name,
        is_local=found is not None and bool(files),
        disk_bytes=sum(file.stat().st_size for file in files) or None,
        parameters=parameters,
        cache_bytes=cache_bytes,
    )


def tiled(name: str) -> bool | None:
    """Whether the model `name` cuts pictures into tiles; None where that is unknown. Loads nothing."""
    folder = folder_of(name)
    if folder is None:
        publisher = publisher_of(name)
        return bool(publisher.published[name].get("tiles")) if publisher else None
    config, files = _config(folder), weight_files(folder)
    facts = _facts(config)
    if config is None or facts is None:
        return None
    if facts.tiled_by is None or _is_tiled(config, files, facts):
        return facts.tiled_by is not None
    # The separators are missing for certain only if every file is there and its header can be read.
    return False if _parameter_count(files, facts) and not _lacks_files(folder) else None


def folder_of(name: str) -> Path | None:
    """The folder of the model `name` on this machine, for a hub id in the hub's cache; None where there is none."""
    folder = model_path(name)
    if folder is not None:
        return folder if folder.is_dir() else None
    if not is_hub_id(name):
        return None
    from huggingface_hub import try_to_load_from_cache  # imported by gradio anyway; opens no connection

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # not a hub id
        return None
    return Path(found).parent if isinstance(found, str) else None


def _facts(config: Mapping[str, Any] | None) -> FamilyFacts | None:
    return None if config is None else family_of(config.get("model_type"))


def _is_tiled(config: Mapping[str, Any], files: list[Path], facts: FamilyFacts) -> bool:
    return bool(config.get("tiles")) or any(facts.tiled_by in _shapes(file) for file in files)


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def weight_files(folder: Path) -> list[Path]:
    """The files that would be loaded, those of the first format in WEIGHTS that exists."""
    return next((files for pattern in WEIGHTS if (files := sorted(folder.glob(pattern)))), [])


def _parameter_count(files: list[Path], facts: FamilyFacts | None) -> int | None:
    """Number of parameters in the headers of safetensors files; None where a header cannot be read."""
    headers = [_shapes(file) for file in files]
    if not all(headers):
        return None
    prefixes = facts.tensor_prefixes if facts and facts.tensor_prefixes else ("",)
    shapes = [shape for header in headers for name, shape in header.items() if name.startswith(prefixes)]
    return sum(map(math.prod, shapes)) or None


def _lacks_files(folder: Path) -> bool:
    """Whether the index names files that are missing, as during a download."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return False
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return True
    return not all((folder / name).is_file() for name in named)


def _shapes(file: Path) -> dict[str, list[int]]:
    """Name -> shape of the tensors in a safetensors file; empty for any other or a broken file."""
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="np") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}
