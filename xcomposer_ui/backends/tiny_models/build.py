"""Builds a tiny model from a folder or a class, and loads it in any dtype as a checkpoint would be."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

import xcomposer_ui.models  # noqa: F401  (registers the families)
from xcomposer_ui.backends.tiny_models.shrink import HEAD_COUNTS, WIDTH_OF_HEADS, Tree, parts, shrunk
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.settings import EMBEDDED, EMBEDDED_PATH

LARGEST = 200_000_000
"""Most parameters of a tiny model; a larger one was not shrunk, and would take minutes and gigabytes."""


NOT_BUILT = (
    *(ValueError, TypeError, RuntimeError, AttributeError, KeyError, IndexError, ImportError, OSError),
    StrictDataclassError,
)
"""What a configuration or a class may raise if it cannot be built, or not at this size."""


class NoTinyModelError(Exception):
    """A tiny model cannot be built or run; the message is a sentence with the reason."""


def configuration(named: str) -> tuple[type[Any] | None, Any]:
    """(class or None, configuration) for a folder with a config.json, or a class such as
    "LlavaForConditionalGeneration" or "my_package.model:MyModel".

    Raises UserError if there is no such folder or class, NoTinyModelError if transformers does not know the type.
    """
    folder = EMBEDDED_PATH if named == EMBEDDED else Path(named).expanduser()
    if folder.is_file() and folder.name == "config.json":
        folder = folder.parent
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError("no_config", name=folder.name)
        return None, _read(folder)
    found = _class(named)
    if found is None:
        raise UserError("no_model_class", name=named)
    if not issubclass(found, PreTrainedModel) or found.config_class is None:
        raise NoTinyModelError(f"{found.__name__} is no transformers model with a configuration of its own")
    try:
        return found, found.config_class()
    except NOT_BUILT as error:
        raise NoTinyModelError(f"{found.__name__} has no default configuration: {first_line(error)}") from error


def tiny_model(found: type[Any] | None, config: Any) -> Any:
    """A small float32 model of the same architecture with random weights. Raises NoTinyModelError."""
    try:
        # Only a class's defaults may need corrections.
        tree = config.to_dict() if found is None else fitted(config.to_dict())
        small = type(config).from_dict(shrunk(tree))
        model_class = found or _class_for(small)
        with torch.device("meta"):
            parameters = sum(weight.numel() for weight in model_class(small).parameters())
        if parameters > LARGEST:
            raise NoTinyModelError(
                f"the sizes of {type(config).__name__} are not named as those that can be made small"
            )
        torch.manual_seed(0)
        return model_class(small).eval()
    except NOT_BUILT as error:
        raise NoTinyModelError(
            f"a small model of {type(config).__name__} cannot be built: {first_line(error)}"
        ) from error


def loaded_in(model: Any, dtype: torch.dtype) -> Any:
    """`model` as `from_pretrained(..., dtype=dtype)` loads its checkpoint.

    This differs from `model.to(dtype)`: some families keep modules in float32, and tables that are not in a checkpoint
    are computed in float32.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model.save_pretrained(folder)
        return type(model).from_pretrained(folder, dtype=dtype, local_files_only=True).eval()


def _read(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder)
    except NOT_BUILT as error:
        raise NoTinyModelError(
            f"transformers has no class of its own for the config.json in {folder.name}, and the code of a checkpoint "
            f"is not run here: {first_line(error)}"
        ) from error


def _class(named: str) -> type[Any] | None:
    """The class of that name in transformers, or in the module before its last dot or colon."""
    module, _, name = named.replace(":", ".").rpartition(".")
    try:
        found = getattr(importlib.import_module(module) if module else transformers, name, None)
    except (ImportError, ValueError):
        return None
    return found if inspect.isclass(found) else None


def _class_for(config: Any) -> type[Any]:
    """The class that the configuration names, or else the one that transformers loads it with."""
    for name in config.architectures or ():
        if (found := getattr(transformers, name, None)) is not None:
            return found
    for auto in (AutoModelForImageTextToText, AutoModelForCausalLM):
        if type(config) in auto._model_mapping:
            mapped: Any = auto._model_mapping[type(config)]
            found = mapped[0] if isinstance(mapped, tuple) else mapped  # of several classes, the first is the default
            if inspect.isclass(found):
                return found
    raise NoTinyModelError(f"{type(config).__name__} is of no image-text model that transformers has a class for")


def fitted(tree: Tree) -> Tree:
    """Correct a class's default configuration in place: with some of them the class's own model cannot be run.

    Heads divide widths, and the tower's output is as wide as the text model's input.
    """
    for part in parts(tree):
        _fit_heads(part)
    vision, text = tree.get("vision_config"), tree.get("text_config")
    if isinstance(vision, dict) and isinstance(text, dict):
        _fit_width(vision, text)
        _fit_grid(tree, vision)
    return tree


def _fit_heads(part: Tree) -> None:
    width = next((part[name] for name in WIDTH_OF_HEADS if _is_size(part.get(name))), None)
    for name in HEAD_COUNTS:
        count: Any = part.get(name)
        if width and _is_size(count) and width % count and not part.get("head_dim"):
            part[name] = next(n for n in range(count, 0, -1) if width % n == 0)


def _fit_width(vision: Tree, text: Tree) -> None:
    """Set the output width of the tower or its projector, which families name differently, to the text's width."""
    width = text.get("hidden_size")
    if not _is_size(width):
        return
    if "embed_dim" in vision and "spatial_merge_size" in vision and "out_hidden_size" not in vision:
        vision["hidden_size"] = width
    for name in ("out_hidden_size", "projection_dim"):
        if name in vision:
            vision[name] = width


def _fit_grid(tree: Tree, vision: Tree) -> None:
    """Make the patches per side a multiple of those that are merged into one token."""
    size, patch = vision.get("image_size"), vision.get("patch_size")
    if not (_is_size(size) and _is_size(patch)):
        return
    for name in ("scale_factor", "downsample_factor"):
        if _is_size(scale := tree.get(name)):
            vision["image_size"] = patch * scale * max(1, size // patch // scale)
    if _is_size(tokens := tree.get("mm_tokens_per_image")):
        tree["mm_tokens_per_image"] = min(tokens, max(1, size // patch // 2) ** 2)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
