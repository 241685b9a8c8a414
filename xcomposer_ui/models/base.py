"""The interface of a model family: `Family`, its configuration, and its model.

Backends and planning depend on these and on no family. A model inherits `FamilyModel`, which implements `generate` for
pictures and batches, the prompt in pieces for the prefix cache, and streaming text; its abstract methods are the
family's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.models.answer import GrowingAnswer, answer_text
from xcomposer_ui.models.cache import CACHE_NAME, DecodingCache, PreallocatedCache
from xcomposer_ui.models.generation import GenerationInputs
from xcomposer_ui.models.range_stress import ResidualStream
from xcomposer_ui.models.turns import History, PromptTurns

PictureSize = tuple[int, int]
"""(width, height) of a picture in pixels."""

PixelSize = tuple[int, int]
"""(height, width) of a picture as it is resized and padded for a family's vision tower."""


WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that a checkpoint's weights are loaded from; the first that exists is used."""


class FamilyConfig(Protocol):
    """A transformers configuration with the sizes that planning and generation need."""

    model_type: str
    max_prompt_tokens: int
    """Most tokens of a prompt, the picture's included; the rest is cut off."""
    max_position_embeddings: int

    @property
    def cuts_tiles(self) -> bool:
        """Whether pictures are cut into tiles, as many as `hd_num` at most."""

    def pixel_size(self, picture: PictureSize, hd_num: int | None) -> PixelSize:
        """(height, width) in pixels that a picture is resized and padded to."""

    def image_tokens_of(self, pixels: PixelSize) -> int:
        """Number of a picture's tokens in the prompt."""

    def layer_counts(self) -> dict[str, int]:
        """Kind of repeated layer -> their number; the kinds are those of `FamilyModel.layer_stacks`."""

    def with_layers(self, most: int) -> Any:
        """A copy with at most `most` layers of each kind."""


class FamilyModel(GenerationInputs, PromptTurns):
    """Base class of a family's model, in addition to transformers' PreTrainedModel and GenerationMixin."""

    config: Any
    turn_end: str | None = None
    """Text that ends an answer, in addition to the tokenizer's end token."""
    decodes_in_place = False
    """Whether `hidden_states` takes a `StaticCache` for one token: without reading a value of a tensor on the host."""
    answer_prefix: str | None = None
    """Text before each answer in a prompt. The prefill processes a prompt in pieces that end there; None: in one."""

    def pixels_of(self, image: Image.Image, hd_num: int | None = None) -> Tensor:
        """(1, 3, H, W) normalised pixels, float32, on the CPU; (H, W) is `config.pixel_size`."""
        raise NotImplementedError

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Image embeddings, (1, image tokens, width), of pixels as `pixels_of` returns them."""
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
        """Embeddings to final hidden states, both (B, T, width), adding keys and values to `cache`."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        im_mask: Tensor | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, vocabulary) for `input_ids` (B, T) or `inputs_embeds` (B, T, width), whichever is given.

        attention_mask: (B, cached tokens + T), 0 at padding; None without padding.
        im_mask: (B, T) bool, True at image tokens. logits_to_keep: number of last positions with logits; 0 for all.
        cache: keys and values of earlier tokens; `past_key_values` is its older name.
        labels: (B, T) ids, -100 where there is none; `loss` is the mean cross-entropy of each, given the tokens before.
        """
        cache = past_key_values if cache is None else cache
        if use_cache and cache is None:
            cache = PreallocatedCache()
        embeds = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        if isinstance(cache, DecodingCache) and cache.decodes(embeds):
            hidden = cache.decode(cache, embeds, attention_mask)
        else:
            hidden = self.hidden_states(embeds, im_mask, attention_mask, cache)
        logits = self.get_output_embeddings()(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        loss = None if labels is None else self.loss_function(logits, labels, vocab_size=logits.shape[-1])
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{CACHE_NAME: cache})

    def layer_stacks(self) -> dict[str, nn.ModuleList]:
        """The model's repeated layers by kind, "tower" and "language": all layers of a kind are alike."""
        raise NotImplementedError

    def decoding_weights(self) -> Iterator[nn.Parameter]:
        """The weights that a step of decoding reads whole: not the embeddings, of which it reads a row."""
        yield from self.layer_stacks()["language"].parameters()
        yield from self.get_output_embeddings().parameters()

    def residual_stream(self) -> ResidualStream | None:
        """What writes into the residual stream and what reads it; None where the logits depend on its size."""
        return None

    @property
    def tower(self) -> nn.Module:
        """The vision tower."""
        raise NotImplementedError

    @property
    def picture_device(self) -> torch.device:
        """The device for pixels: that of the tower's first weights."""
        return weights_device(next(self.tower.parameters()))

    @property
    def text_device(self) -> torch.device:
        """The device for token ids: that of the input embeddings, which may differ from the tower's."""
        return weights_device(self.get_input_embeddings().weight)

    def preprocess(self, image: str | PathLike[str] | Image.Image, hd_num: int | None = None) -> Tensor:
        """Normalised pixels, (1, 3, H, W) float32, on the vision tower's device.

        hd_num: the most tiles, for tiled members only: they give the resized and padded picture, not yet cut.
        Raises OSError if a path is not a picture.
        """
        if not isinstance(image, Image.Image):
            with Image.open(Path(image)) as opened:
                image = opened.convert("RGB")
        return self.pixels_of(image, hd_num).to(self.picture_device)

    @torch.no_grad()
    def prompt_inputs(
        self, tokenizer: Any, query: str, image: Tensor | None = None, history: History = ()
    ) -> dict[str, Tensor]:
        """Inputs of `generate` and `forward`: inputs_embeds (1, T, width), im_mask (1, T); input_ids for text only.

        image: pixels as `preprocess` returns them, in the tower's input dtype; None for text only.
        """
        if image is not None:
            return self.joined_inputs(self.prompt_parts(tokenizer, query, history, pictures=1), [image])
        (ids,) = self.prompt_parts(tokenizer, query, history)
        return {"input_ids": torch.tensor([ids[: self.config.max_prompt_tokens]], device=self.text_device)}

    def answer_text(self, tokenizer: Any, ids: Sequence[int]) -> str:
        """The text of the generated `ids`."""
        return answer_text(tokenizer, ids, self.turn_end)

    def growing_answer(self, tokenizer: Any) -> GrowingAnswer:
        """`answer_text` for ids that grow."""
        return GrowingAnswer(tokenizer, self.turn_end)


@dataclass(frozen=True, eq=False)
class Family:
    """A model family.

    Args:
        facts: its description that needs neither torch nor transformers.
        classes: (configuration, model) pairs; transformers needs a pair for each `model_type`.
        tokenizer: its tokenizer class.
        fit_to_weights: called with (configuration, folder or hub id) to set the configuration's fields that only the
            weights' names and shapes show.
    """

    facts: FamilyFacts
    classes: tuple[tuple[type[Any], type[Any]], ...]
    tokenizer: type[Any]
    fit_to_weights: Callable[[Any, str], None] = lambda config, source: None

    def model_class(self, config: object) -> type[Any]:
        return next(model for kind, model in self.classes if type(config) is kind)


def weights_device(weights: Tensor) -> torch.device:
    """The device for the inputs of the module that has `weights`; the CPU for weights that are offloaded."""
    return torch.device("cpu") if weights.device.type == "meta" else weights.device
