"""What the lab asks of a model family: a `Family`, its configuration, and its model.

Backends and planning know these and no family. A model inherits `FamilyModel`, which brings `generate` for pictures and
batches, the prompt in pieces for the prefix cache, and streaming text; what is left to the family is abstract there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from transformers.cache_utils import Cache

from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.models.answer import GrowingAnswer, answer_text
from xcomposer_ui.models.generation import GenerationInputs
from xcomposer_ui.models.turns import History, PromptTurns

PictureSize = tuple[int, int]
"""(width, height) of a picture in pixels."""

PixelSize = tuple[int, int]
"""(height, width) of the pixels that a family makes of a picture."""


WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that a checkpoint's weights are loaded from; the first that is there counts."""


class FamilyConfig(Protocol):
    """A transformers configuration that also knows its sizes in the lab's terms."""

    model_type: str
    max_prompt_tokens: int
    """Most tokens of a prompt, the picture's among them; the rest is cut off."""
    max_position_embeddings: int

    @property
    def cuts_tiles(self) -> bool:
        """Whether pictures are cut into tiles, as many as `hd_num` at most."""

    def pixel_size(self, picture: PictureSize, hd_num: int | None) -> PixelSize:
        """What a picture is resized and padded to."""

    def image_tokens_of(self, pixels: PixelSize) -> int:
        """Tokens of a picture in the prompt."""

    def layer_counts(self) -> dict[str, int]:
        """Kind of repeated layer -> how many; the kinds are those of `FamilyModel.layer_stacks`."""

    def with_layers(self, most: int) -> Any:
        """A copy with at most `most` layers of each kind."""


class FamilyModel(GenerationInputs, PromptTurns):
    """Base of a family's model, beside transformers' PreTrainedModel and GenerationMixin.

    The family's `forward` takes input_ids, attention_mask, inputs_embeds, im_mask, cache and logits_to_keep, as
    `xcomposer2.modeling` documents them.
    """

    config: Any
    turn_end: str | None = None
    """Text that ends an answer, beside the tokenizer's end token."""
    answer_prefix: str | None = None
    """Text that stands before each answer in a prompt; a prompt is read in pieces that end there. None: in one."""

    def pixels_of(self, image: Image.Image, hd_num: int | None = None) -> Tensor:
        """(1, 3, H, W) normalised pixels, float32, on the CPU; H and W as `config.pixel_size` says."""
        raise NotImplementedError

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pixels as `pixels_of` makes them to image embeddings, (1, image tokens, width)."""
        raise NotImplementedError

    def prompt_parts(
        self, tokenizer: Any, query: str, history: History = (), meta_instruction: str | None = None, pictures: int = 0
    ) -> list[list[int]]:
        """The prompt's token ids before, between and after the pictures: one list more than pictures."""
        raise NotImplementedError

    def hidden_states(
        self,
        embeds: Tensor,
        im_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, T, width) in and out, without the output layer; `cache` takes keys and values."""
        raise NotImplementedError

    def layer_stacks(self) -> dict[str, nn.ModuleList]:
        """The model's repeated layers by kind, "tower" and "language": all layers of a kind are alike."""
        raise NotImplementedError

    @property
    def tower(self) -> nn.Module:
        """The module that reads pictures."""
        raise NotImplementedError

    @property
    def picture_device(self) -> torch.device:
        """Where pixels should be: with the tower's first weights."""
        return weights_device(next(self.tower.parameters()))

    @property
    def text_device(self) -> torch.device:
        """Where token ids should be: with their embeddings, which may be elsewhere than the tower."""
        return weights_device(self.get_input_embeddings().weight)

    def preprocess(self, image: str | PathLike[str] | Image.Image, hd_num: int | None = None) -> Tensor:
        """Normalised pixels, (1, 3, H, W) float32, on the vision tower's device.

        hd_num: the most tiles, for tiled members only: they give the resized and padded picture, not yet cut.
        Raises OSError where a path is no picture.
        """
        if not isinstance(image, Image.Image):
            with Image.open(Path(image)) as opened:
                image = opened.convert("RGB")
        return self.pixels_of(image, hd_num).to(self.picture_device)

    @torch.no_grad()
    def prompt_inputs(
        self, tokenizer: Any, query: str, image: Tensor | None = None, history: History = ()
    ) -> dict[str, Tensor]:
        """What `generate` and the model take: inputs_embeds (1, T, width), im_mask (1, T); input_ids for text only.

        image: pixels as `preprocess` makes them, in the dtype that the tower shall be given; None for text only.
        """
        if image is not None:
            return self.joined_inputs(self.prompt_parts(tokenizer, query, history, pictures=1), [image])
        (ids,) = self.prompt_parts(tokenizer, query, history)
        return {"input_ids": torch.tensor([ids[: self.config.max_prompt_tokens]], device=self.text_device)}

    def answer_text(self, tokenizer: Any, ids: Sequence[int]) -> str:
        """The answer that generated `ids` spell."""
        return answer_text(tokenizer, ids, self.turn_end)

    def growing_answer(self, tokenizer: Any) -> GrowingAnswer:
        """`answer_text` for ids that grow."""
        return GrowingAnswer(tokenizer, self.turn_end)


@dataclass(frozen=True, eq=False)
class Family:
    """A model family.

    Args:
        facts: what is known of it without a framework.
        classes: (configuration, model) pairs; transformers needs a pair for each `model_type`.
        tokenizer: the class that reads its tokenizer files.
        fit_to_weights: (configuration, folder or hub id) sets what only the weights' names and shapes show.
    """

    facts: FamilyFacts
    classes: tuple[tuple[type[Any], type[Any]], ...]
    tokenizer: type[Any]
    fit_to_weights: Callable[[Any, str], None] = lambda config, source: None

    def model_class(self, config: object) -> type[Any]:
        """The class of models with `config`."""
        return next(model for kind, model in self.classes if type(config) is kind)


def weights_device(weights: Tensor) -> torch.device:
    """Where the inputs of the module that has `weights` should be; the CPU while these wait on disk for their turn."""
    return torch.device("cpu") if weights.device.type == "meta" else weights.device
