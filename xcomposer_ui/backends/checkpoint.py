"""Finds a checkpoint, checks its files before anything is computed, and loads it in a dtype on a device."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from xcomposer_ui.backends import hub
from xcomposer_ui.core import families
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.models import family_of
from xcomposer_ui.models.base import WEIGHT_FILES

TENSORS_A_MAPPING = 8
"""Tensors read per mapping of a .bin file. A block of a 7B model has about fifteen, of half a gigabyte together."""


def locate(name: str) -> Path | None:
    """The folder that `name` means: "embedded" or a folder's path; None for a hub id.

    Raises UserError if it is none of them, or the folder's checkpoint is incomplete.
    """
    folder = model_path(name)
    if folder is not None and folder.is_dir():
        _check_folder(folder)
        return folder
    if not is_hub_id(name):
        raise UserError("no_such_model", name=Path(name).name)
    return None


def fetch(name: str, progress: Callable[[float], None]) -> tuple[Path, str | None]:
    """Download the checkpoint if needed; returns (its folder on this machine, its revision).

    The revision is the hub's commit; None for a folder. progress: called with the downloaded fraction, 0..1.
    Raises UserError if there is no such model or it is incomplete.
    """
    if (folder := locate(name)) is not None:
        return folder, None
    folder = hub.download(name, progress)
    _check_folder(folder, name)
    return folder, folder.name


def load(
    folder: Path, dtype: str, device: str, progress: Callable[[float], None], shown: str, *, mapped: bool = True
) -> tuple[Any, Any]:
    """(model, tokenizer), in evaluation mode, weights in `dtype` on `device`. shown: the model's name in errors.

    Weights are read, cast and moved to the device one by one, without a float32 copy of the model. If the stored dtype
    is `dtype` and the device the CPU, the weights stay in the mapped file and take no memory, unless `mapped` is False.
    Raises UserError for a checkpoint that cannot be loaded.
    """
    torch_dtype = getattr(torch, dtype)
    try:
        config = AutoConfig.from_pretrained(folder)
        if family_of(config) is None:
            raise UserError("other_family", name=shown, what=str(config.model_type))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if device == "cpu" and (not mapped or _stored_dtypes(folder) != {torch_dtype}):
            model = _load_converted(folder, config, torch_dtype, progress)
        else:
            with _progress_of_transformers(progress):
                model = AutoModelForCausalLM.from_pretrained(
                    folder, config=config, dtype=torch_dtype, device_map={"": device} if device != "cpu" else None
                )
    except pickle.UnpicklingError as error:
        raise UserError("more_than_weights", name=shown) from error
    except (OSError, ValueError, SafetensorError, KeyError, EOFError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        what = first_line(error)
        for parent in (folder.resolve().parent, folder.parent):
            what = what.replace(f"{parent}/", "")
        raise UserError("broken_checkpoint", name=shown, what=what) from error
    return model.eval(), tokenizer


def _load_converted(folder: Path, config: Any, dtype: torch.dtype, progress: Callable[[float], None]) -> Any:
    """The model on the CPU, its weights cast to `dtype`.

    transformers would map the files, whose pages stay in the process's memory once they are read: 1.5 to 2 times the
    weights in the end. Here only a few stored tensors are in memory at once.
    """
    family = family_of(config)
    assert family is not None
    family.fit_to_weights(config, str(folder))
    weights: dict[str, Tensor] = {}
    for name, stored, fraction in _tensors(folder):
        weights[name] = stored.to(dtype if stored.is_floating_point() else stored.dtype, copy=True)
        progress(fraction)
    with _progress_of_transformers(lambda fraction: None):
        model = family.model_class(config).from_pretrained(None, config=config, state_dict=weights, dtype=dtype)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


def _weight_files(folder: Path) -> list[Path]:
    first = next(folder / name for name in WEIGHT_FILES if (folder / name).is_file())
    return [folder / shard for shard in _shards(first, folder.name)] if first.suffix == ".json" else [first]


def _stored_dtypes(folder: Path) -> set[torch.dtype]:
    """The dtypes of the stored weights, which are mapped and not read."""
    found: set[torch.dtype] = set()
    for file in _weight_files(folder):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as handle:
                found |= {handle.get_tensor(name).dtype for name in handle.keys()}  # noqa: SIM118
        else:
            found |= {weight.dtype for weight in _mapped(file, "meta").values()}
    return found


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor, float]]:
    """(name, stored tensor, fraction of the checkpoint that has been read)."""
    files = _weight_files(folder)
    for done, file in enumerate(files):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt", backend="pread") as handle:
                names = list(handle.keys())
                for n, name in enumerate(names, 1):
                    yield name, handle.get_tensor(name), (done + n / len(names)) / len(files)
            continue
        names = list(_mapped(file, "meta"))
        for start in range(0, len(names), TENSORS_A_MAPPING):
            weights = _mapped(file, "cpu")  # a new mapping: the pages of the previous one are freed with it
            for n, name in enumerate(names[start : start + TENSORS_A_MAPPING], start + 1):
                yield name, weights[name], (done + n / len(names)) / len(files)


def _mapped(file: Path, device: str) -> dict[str, Tensor]:
    """The tensors of a .bin file, mapped and not read; on "meta" only their shapes and types."""
    weights: dict[str, Tensor] = torch.load(file, map_location=device, weights_only=True, mmap=True)
    return weights


def _check_folder(folder: Path, shown: str | None = None) -> None:
    """Raise UserError if files of `folder` are missing or truncated. shown: the checkpoint's name in the error."""
    shown = shown or folder.name
    missing = [name for name in ("config.json", *_tokenizer_files(folder)) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        missing.append("model.safetensors")
    for index in folder.glob("*.index.json"):
        missing += [shard for shard in _shards(index, shown) if not (folder / shard).is_file()]
    if missing:
        raise UserError("incomplete_checkpoint", name=shown, missing=", ".join(missing))
    read_json(folder / "config.json", shown)
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError("cut_off_file", name=shown, file=file.name) from error
    for file in folder.glob("pytorch_model*.bin"):
        if not is_zipfile(file):  # PyTorch's format since 1.6, with its table of contents at the end
            raise UserError("cut_off_file", name=shown, file=file.name)


def _tokenizer_files(folder: Path) -> tuple[str, ...]:
    """The tokenizer files of the family of the folder's config.json; those of all families if that is unknown."""
    try:
        facts = families.family_of(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, LookupError, TypeError):
        facts = None
    known = families.families() if facts is None else (facts,)
    return tuple(dict.fromkeys(file for family in known for file in family.tokenizer_files))


def _shards(index: Path, shown: str) -> list[str]:
    table = read_json(index, shown)
    located = table.get("weight_map") if isinstance(table, dict) else None
    if not isinstance(located, dict) or not all(isinstance(shard, str) for shard in located.values()):
        raise UserError("cut_off_file", name=shown, file=index.name)
    return sorted(set(located.values()))


def read_json(file: Path, shown: str) -> Any:
    """What `file` contains. Raises UserError where it cannot be read. shown: the checkpoint's name in the error."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError("cut_off_file", name=shown, file=file.name) from error


@contextmanager
def _progress_of_transformers(progress: Callable[[float], None]) -> Iterator[None]:
    """A context in which transformers' progress bars are reported as fractions."""

    def hook(factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _reporting(args[0], progress) if args else factory(*args, **kwargs)

    previous = transformers_logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)


def _reporting(items: Any, progress: Callable[[float], None]) -> Iterator[Any]:
    total = len(items) if hasattr(items, "__len__") else None
    for n, item in enumerate(items, 1):
        yield item
        if total:
            progress(n / total)
