"""Finds a model's configuration without reading or downloading its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig

from xcomposer_ui.backends import hub
from xcomposer_ui.backends.checkpoint import read_json
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.request import tile_settings
from xcomposer_ui.core.settings import is_hub_id, model_path
from xcomposer_ui.models import family_of, published_configuration
from xcomposer_ui.models.base import FamilyConfig, PixelSize
from xcomposer_ui.planning.plan import PlanRequest


def configuration_of(name: str) -> FamilyConfig:
    """The configuration of "embedded", a folder, a config.json or a hub id; those of published models are built in.

    Fields that a folder's config.json leaves out are set from its weights' names and shapes.
    Raises UserError if there is no such configuration, or it is not of a registered family.
    """
    path = model_path(name)
    if path is not None and path.is_file():
        return _read(path, path.parent.name)
    if path is not None:
        if not (path / "config.json").is_file():
            raise UserError("incomplete_checkpoint", name=path.name, missing="config.json")
        return _read(path / "config.json", path.name, fit_to=path)
    published = published_configuration(name)
    if published is not None:
        return published
    if not is_hub_id(name):
        raise UserError("no_such_model", name=Path(name).name)
    return _read(hub.configuration(name), name)


def planned_configuration(request: PlanRequest) -> FamilyConfig:
    """The configuration of the request's model. Raises UserError as `configuration_of`, and for tiles it cannot cut."""
    config = configuration_of(request.model)
    if request.hd_num is not None and not config.cuts_tiles:
        raise UserError("no_tiles")
    return config


def pixel_size(config: FamilyConfig, request: PlanRequest) -> PixelSize | None:
    """(height, width) of the request's picture as the model's `preprocess` returns it; None for text only."""
    return None if request.image is None else config.pixel_size(request.image, **tile_settings(request))


def image_tokens(config: FamilyConfig, request: PlanRequest) -> int:
    """Tokens of the request's picture in the prompt; 0 for text only."""
    pixels = pixel_size(config, request)
    return 0 if pixels is None else config.image_tokens_of(pixels)


def _read(file: Path, shown: str, fit_to: Path | None = None) -> FamilyConfig:
    if not isinstance(read_json(file, shown), dict):
        raise UserError("cut_off_file", name=shown, file=file.name)
    try:
        config: Any = AutoConfig.from_pretrained(str(file))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("broken_checkpoint", name=shown, what=first_line(error)) from error
    family = family_of(config)
    if family is None:
        raise UserError("other_family", name=shown, what=str(config.model_type))
    if fit_to is not None:
        family.fit_to_weights(config, str(fit_to))
    known: FamilyConfig = config
    return known
