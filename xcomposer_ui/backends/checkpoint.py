"""Finds a checkpoint, judges it before anything is computed, and loads it in the dtype asked for."""

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
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

import xcomposer_ui.models  # noqa: F401  (registers the families)
from xcomposer_ui.backends import hub
from xcomposer_ui.backends.mapped_files import give_back_pages
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config
from xcomposer_ui.models.xcomposer2.weights import WEIGHT_FILES

FAMILIES = (InternLMXComposer2Config,)
"""The configurations of what the lab can ask. Any other would be built all the same, at its full size."""

PAGES_GIVEN_BACK_EVERY = 8
"""Tensors. A block of a 7B model has some fifteen of them, half a gigabyte."""


def locate(name: str) -> str:
    """A folder, or a hub id, for "embedded", a folder's path, or a hub id.

    Raises UserError where it is neither, or the folder is no whole checkpoint.
    """
    folder = model_path(name)
    if folder is not None and folder.is_dir():
        _check_folder(folder)
        return str(folder)
    if not is_hub_id(name):
        raise UserError("no_such_model", name=Path(name).name)
    return name


def fetch(name: str, progress: Callable[[float], None]) -> tuple[Path, str | None]:
    """(the checkpoint's folder on this machine, its revision): a hub id is downloaded where it is not here yet.

    The revision is the hub's commit; None for a folder, which has none. progress: is given the download's fraction.
    Raises UserError, with a sentence, where there is no such model, or no whole one.
    """
    source = locate(name)
    if Path(source).is_dir():
        return Path(source), None
    folder = hub.fetched(source, progress)
    _check_folder(folder, source)
    return folder, folder.name


def load(
    name: str, dtype: str, device: str, progress: Callable[[float], None], *, shown: str | None = None
) -> tuple[Any, Any]:
    """(model, tokenizer), in evaluation mode, weights in `dtype` on `device`. shown: how errors call it.

    Each weight is read, cast and put on the device one by one; no float32 copy of the whole exists. Where the stored
    dtype is the one asked for, and the device the CPU, the weights stay in the mapped file and take no memory.
    Raises UserError, with a sentence, for whatever is wrong with the checkpoint.
    """
    source = str(fetch(name, lambda fraction: None)[0])
    shown = shown or (Path(source).name if Path(locate(name)).is_dir() else name)
    try:
        with _telling(progress):
            config = AutoConfig.from_pretrained(source)
            if not isinstance(config, FAMILIES):
                raise UserError("other_family", name=shown, what=str(config.model_type))
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = AutoModelForCausalLM.from_pretrained(
                source, config=config, dtype=getattr(torch, dtype), device_map={"": device} if device != "cpu" else None
            )
    except pickle.UnpicklingError as error:
        raise UserError("more_than_weights", name=shown) from error
    except (OSError, ValueError, SafetensorError, KeyError, EOFError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError("broken_checkpoint", name=shown, what=_without_folders(first_line(error), source)) from error
    return model.eval(), tokenizer


def _check_folder(folder: Path, shown: str | None = None) -> None:
    """Raises UserError, naming what is missing or cut off, unless `folder` can be loaded. shown: how it is called."""
    shown = shown or folder.name
    missing = [name for name in ("config.json", "tokenizer.model") if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        missing.append("model.safetensors")
    for index in folder.glob("*.index.json"):
        missing += [shard for shard in _shards(index, shown) if not (folder / shard).is_file()]
    if missing:
        raise UserError("incomplete_checkpoint", name=shown, missing=", ".join(missing))
    _read_json(folder / "config.json", shown)
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError("cut_off_file", name=shown, file=file.name) from error
    for file in folder.glob("pytorch_model*.bin"):
        if not is_zipfile(file):  # what it has been since PyTorch 1.6, its table of contents at the end
            raise UserError("cut_off_file", name=shown, file=file.name)


def _shards(index: Path, shown: str) -> list[str]:
    """The files that an index names."""
    table = _read_json(index, shown)
    located = table.get("weight_map") if isinstance(table, dict) else None
    if not isinstance(located, dict) or not all(isinstance(shard, str) for shard in located.values()):
        raise UserError("cut_off_file", name=shown, file=index.name)
    return sorted(set(located.values()))


def _read_json(file: Path, shown: str) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError("cut_off_file", name=shown, file=file.name) from error


@contextmanager
def _telling(progress: Callable[[float], None]) -> Iterator[None]:
    """Report transformers' own progress bars as fractions; a release without the hook reports none."""
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    if set_hook is None:
        yield
        return

    def hook(factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _tell_each(args[0], progress) if args else factory(*args, **kwargs)

    previous = set_hook(hook)
    try:
        yield
    finally:
        set_hook(previous)


def _tell_each(items: Any, progress: Callable[[float], None]) -> Iterator[Any]:
    total = len(items) if hasattr(items, "__len__") else None
    for n, item in enumerate(items, 1):
        yield item
        if n % PAGES_GIVEN_BACK_EVERY == 0:
            give_back_pages()
        if total:
            progress(n / total)
    give_back_pages()


def _without_folders(line: str, source: str) -> str:
    """`line` without the folders of this machine that `source` is in."""
    return line.replace(f"{Path(source).resolve().parent}/", "").replace(f"{Path(source).parent}/", "")
