"""Finds a model's configuration, and nothing more of it: no weights are read, none are downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig

import xcomposer_ui.models  # noqa: F401  (registers the families)
from xcomposer_ui.backends import hub
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config
from xcomposer_ui.models.xcomposer2.weights import fit_to_weights
from xcomposer_ui.planning.published import PUBLISHED_SIZES


def configuration_of(name: str) -> InternLMXComposer2Config:
    """The configuration of "embedded", a folder, a config.json or a hub id; published members' are known here.

    A folder with weights is asked for the member they are of, by their names and shapes alone.
    Raises UserError where there is no such configuration, or none of this family.
    """
    path = model_path(name)
    if path is not None and path.is_file():
        return _read(path, path.parent.name)
    if path is not None:
        if not (path / "config.json").is_file():
            raise UserError("incomplete_checkpoint", name=path.name, missing="config.json")
        config = _read(path / "config.json", path.name)
        fit_to_weights(config, str(path))
        return config
    if name in PUBLISHED_SIZES:
        return InternLMXComposer2Config(**PUBLISHED_SIZES[name])
    if not is_hub_id(name):
        raise UserError("no_such_model", name=Path(name).name)
    return _read(hub.configuration(name), name)


def _read(file: Path, shown: str) -> InternLMXComposer2Config:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError("cut_off_file", name=shown, file=file.name) from error
    if not isinstance(given, dict):
        raise UserError("cut_off_file", name=shown, file=file.name)
    return _checked(shown, lambda: AutoConfig.from_pretrained(str(file)))


def _checked(shown: str, read: Any) -> InternLMXComposer2Config:
    try:
        config = read()
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("broken_checkpoint", name=shown, what=first_line(error)) from error
    if not isinstance(config, InternLMXComposer2Config):
        raise UserError("other_family", name=shown, what=str(config.model_type))
    return config
