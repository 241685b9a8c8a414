"""InternLM-XComposer2 as one model: vision tower, projector, InternLM2 with PLoRA, and the output layer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from transformers import CLIPVisionConfig, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.utils import logging as transformers_logging

from xcomposer_ui.core.families.xcomposer2 import SEPARATOR, TURN_END, TURN_START
from xcomposer_ui.models.base import WEIGHT_FILES, FamilyModel
from xcomposer_ui.models.range_stress import ResidualStream
from xcomposer_ui.models.xcomposer2.chat import ChatMixin
from xcomposer_ui.models.xcomposer2.configuration import InternLM2TypedConfig, InternLMXComposer2Config
from xcomposer_ui.models.xcomposer2.language import InternLM2Model, RMSNorm
from xcomposer_ui.models.xcomposer2.tiles import TILE_RULES, tiled_features, tiled_pixels
from xcomposer_ui.models.xcomposer2.vision import PatchEmbeddings, VisionTower, square_pixels

log = logging.getLogger(__name__)

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")

POSITIONS = "vit.vision_tower.vision_model.embeddings.position_embedding.weight"
SIDE_OF_4KHD = 336
"""Pixels; the one tiled member with this tower is 4KHD, and it alone has its rules."""


class InternLMXComposer2ForCausalLM(ChatMixin, FamilyModel, PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The model, used by `chat` or `stream_chat`; `forward` and `generate` take embeddings with their image mask.

    Published checkpoints load by `from_pretrained` under their own names and layout, without remote code.
    """

    config_class = InternLMXComposer2Config
    _no_split_modules = ["Block", "VisionBlock"]  # noqa: RUF012
    _supports_sdpa = True
    decodes_in_place = True
    turn_end = TURN_END
    answer_prefix = f"{TURN_START}assistant\n"

    def __init__(self, config: InternLMXComposer2Config) -> None:
        super().__init__(config)
        width = config.vision_config.hidden_size
        if config.tiles is not None:
            width *= 4  # 2×2 patches are merged before the projector
            self.plora_glb_GN = nn.Parameter(torch.zeros(1, 1, width))
            self.plora_sub_GN = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.vit = VisionTower(config.vision_config)
        self.vision_proj = nn.Sequential(
            nn.Linear(width, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.tok_embeddings = value

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    @property
    def tower(self) -> nn.Module:
        return self.vit

    def layer_stacks(self) -> dict[str, nn.ModuleList]:
        return {"tower": self.vit.vision_tower.vision_model.encoder.layers, "language": self.model.layers}

    def decoding_weights(self) -> Iterator[nn.Parameter]:
        """All but PLoRA's: a generated token is no image token."""
        yield from (weight for name, weight in self.model.layers.named_parameters() if "Plora_" not in name)
        yield from self.output.parameters()

    def residual_stream(self) -> ResidualStream:
        blocks = self.model.layers
        within = (part for block in blocks for part in (block.attention, block.feed_forward))
        norms = (norm for block in blocks for norm in (block.attention_norm, block.ffn_norm))
        return ResidualStream((self.get_input_embeddings(), self.vision_proj, *within), (*norms, self.model.norm))

    def hidden_states(
        self,
        embeds: Tensor,
        im_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        return self.model(embeds, im_mask, attention_mask, cache)

    def pixels_of(self, image: Image.Image, hd_num: int | None = None) -> Tensor:
        """The picture's normalised pixels for the vision tower, float32, on the CPU.

        (1, 3, side, side) for single-image members; for tiled ones, whole tiles: at most `hd_num` of them.
        """
        side = self.config.tower_side
        if self.config.tiles is None:
            return square_pixels(image, side)
        rules = TILE_RULES[self.config.tiles]
        return tiled_pixels(image, side, hd_num or rules.hd_num, rules)

    def encode_image(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.picture_device)
        if self.config.tiles is None:
            return self.vision_proj(self.vit(pixels))
        side = self.config.tower_side
        return self.vision_proj(tiled_features(self.vit, pixels, side, self.plora_glb_GN, self.plora_sub_GN))

    def _init_weights(self, module: nn.Module) -> None:
        deviation = self.config.initializer_range
        if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d)):
            nn.init.normal_(module.weight, std=deviation)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (RMSNorm, nn.LayerNorm)):
            nn.init.ones_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, PatchEmbeddings):
            nn.init.normal_(module.class_embedding, std=deviation)

    @classmethod
    def from_pretrained(cls, source: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """Load a checkpoint as transformers does, with strict checks of its tensors.

        Raises ValueError with the names of tensors that are missing or have another shape: transformers would
        initialise them with random numbers.
        """
        kwargs.setdefault("ignore_mismatched_sizes", True)  # refused below, by name
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
        config = kwargs.pop("config", None)
        if not isinstance(config, InternLMXComposer2Config):
            config = cls.config_class.from_pretrained(config or source, **hub)
        if source is not None:  # else the weights come as a `state_dict`
            fit_to_weights(config, str(source), **hub)
        with errors_only():  # tensors that do not match are reported below
            model, info = super().from_pretrained(source, *args, config=config, output_loading_info=True, **kwargs)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"the checkpoint lacks {_tensors(missing)} that the model needs: {_some(missing)}")
        if misshapen := sorted(info["mismatched_keys"]):
            named = [f"{name} is {tuple(found)} and should be {tuple(wanted)}" for name, found, wanted in misshapen]
            raise ValueError(f"{_tensors(named)} of another shape than config.json says: {_some(named)}")
        if extra := info["unexpected_keys"]:
            log.warning("skipped %s of the checkpoint that this model does not use", _tensors(list(extra)))
        return (model, info) if output_loading_info else model


@contextmanager
def errors_only() -> Iterator[None]:
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}"


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class InternLM2TypedForCausalLM(InternLMXComposer2ForCausalLM):
    """The same model for a config.json of type `internlm2`; transformers requires a class for each type."""

    config_class = InternLM2TypedConfig  # type: ignore[assignment]  # a subclass of the base's, as it should be


def fit_to_weights(config: InternLMXComposer2Config, source: str, **hub: Any) -> None:
    """Set `config`'s tower side and tile rules by the checkpoint at `source`, a folder or a hub id.

    Tiled members have separators among their weights; the tower has side² + 1 position embeddings, side in patches.
    `config` is not changed if the checkpoint has no such weights; loading then reports them as missing.
    """
    shapes = _shapes(source, (SEPARATOR, POSITIONS), **hub)
    if POSITIONS in shapes:
        patches = round((shapes[POSITIONS][0] - 1) ** 0.5)
        side = patches * int(config.vision_config.patch_size)
        if side != config.tower_side:
            fields = {**config.vision_config.to_dict(), "image_size": side}
            config.vision_config = CLIPVisionConfig(**fields)
    if SEPARATOR in shapes and config.tiles is None:
        config.tiles = "4khd" if config.tower_side == SIDE_OF_4KHD else "2.5"


def _shapes(source: str, names: tuple[str, ...], **hub: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of those of `names` that the checkpoint has."""
    found = next((file for name in WEIGHT_FILES if (file := _file(source, name, **hub))), None)
    if found is None:
        return {}
    files: set[Path | None] = {found}
    if found.suffix == ".json":
        shards = json.loads(found.read_text(encoding="utf-8"))["weight_map"]
        files = {_file(source, shards[name], **hub) for name in names if name in shards}
    return {name: shape for file in files if file for name, shape in _shapes_in(file, names).items()}


def _shapes_in(file: Path, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            present = set(tensors.keys())
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names if name in present}
    tensors = torch.load(file, map_location="meta", weights_only=True, mmap=True)
    return {name: tuple(tensors[name].shape) for name in names if name in tensors}


def _file(source: str, name: str, **hub: Any) -> Path | None:
    """The checkpoint's file `name`, downloaded if `source` is a hub id; None if it has none, or without a network."""
    if Path(source).is_dir():
        found = Path(source, hub.get("subfolder") or "", name)
        return found if found.is_file() else None
    try:
        return Path(hf_hub_download(source, name, **hub))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError):
        return None
