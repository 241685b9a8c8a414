"""A whole model family in one small file: pictures of four patches, two blocks, a tokenizer of characters.

Nothing of it is trained. Its dtype clash is its own: the patch convolution takes the picture's dtype as it comes.
"""

from __future__ import annotations

import copy
import math
import string
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel, PreTrainedTokenizer
from transformers.cache_utils import Cache

from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.models.base import Family, FamilyModel, History

SIDE, PATCH = 32, 16
CHARACTERS = ("<pad>", "<s>", "</s>", *string.printable[:95])


class ToyConfig(PretrainedConfig):
    model_type = "toy"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012

    def __init__(self, hidden_size: int = 32, num_hidden_layers: int = 2, tower_layers: int = 2, **kwargs: Any) -> None:
        self.vocab_size = len(CHARACTERS)
        self.hidden_size, self.num_hidden_layers, self.tower_layers = hidden_size, num_hidden_layers, tower_layers
        self.max_prompt_tokens = self.max_position_embeddings = 256
        kwargs = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, **kwargs}
        super().__init__(**{**kwargs, "use_cache": True})

    @property
    def cuts_tiles(self) -> bool:
        return False

    def pixel_size(self, picture: tuple[int, int], hd_num: int | None) -> tuple[int, int]:
        return SIDE, SIDE

    def image_tokens_of(self, pixels: tuple[int, int]) -> int:
        return (SIDE // PATCH) ** 2

    def layer_counts(self) -> dict[str, int]:
        return {"tower": self.tower_layers, "language": self.num_hidden_layers}

    def with_layers(self, most: int) -> ToyConfig:
        small = copy.deepcopy(self)
        small.tower_layers = min(most, self.tower_layers)
        small.num_hidden_layers = min(most, self.num_hidden_layers)
        return small


class ToyTowerBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(x)))


class ToyTower(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, config.hidden_size, PATCH, stride=PATCH)
        self.layers = nn.ModuleList(ToyTowerBlock(config.hidden_size) for _ in range(config.tower_layers))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)  # (1, patches, width)
        for layer in self.layers:
            x = layer(x)
        return x


class ToyBlock(nn.Module):
    def __init__(self, width: int, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.norm = nn.LayerNorm(width)
        self.packed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor, cache: Cache | None) -> Tensor:
        q, k, v = self.packed(self.norm(x)).unsqueeze(1).chunk(3, dim=-1)  # (B, 1, T, width): one head
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        return x + self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).squeeze(1))


class ToyForCausalLM(FamilyModel, PreTrainedModel, GenerationMixin):
    config_class = ToyConfig
    main_input_name = "input_ids"
    _no_split_modules = ["ToyTowerBlock", "ToyBlock"]  # noqa: RUF012
    _supports_sdpa = True

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.eye = ToyTower(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(ToyBlock(config.hidden_size, n) for n in range(config.num_hidden_layers))
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.4)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    @property
    def tower(self) -> nn.Module:
        return self.eye

    def layer_stacks(self) -> dict[str, nn.ModuleList]:
        return {"tower": self.eye.layers, "language": self.layers}

    def pixels_of(self, image: Image.Image, hd_num: int | None = None) -> Tensor:
        pixels = np.array(image.convert("RGB").resize((SIDE, SIDE)), dtype=np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.eye(pixels.to(self.picture_device))

    def prompt_parts(
        self, tokenizer: Any, query: str, history: History = (), meta_instruction: str | None = None, pictures: int = 0
    ) -> list[list[int]]:
        text = "".join(f"{question}\n{answer}\n" for question, answer in history) + f"{query}\n"
        return [[tokenizer.bos_token_id]] * pictures + [tokenizer(text).input_ids]

    def hidden_states(
        self,
        embeds: Tensor,
        im_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        length, past = embeds.shape[1], 0 if cache is None else cache.get_seq_length()
        keys, rows = torch.arange(past + length), torch.arange(past, past + length)[:, None]
        mask = (keys <= rows).to(embeds.device)[None, None]
        if attention_mask is not None:
            mask = mask & attention_mask.bool()[:, None, None, :] | (keys == rows).to(embeds.device)
        for layer in self.layers:
            embeds = layer(embeds, mask, cache)
        return embeds / math.sqrt(self.config.hidden_size)


class ToyTokenizer(PreTrainedTokenizer):
    vocab_files_names = {"vocab_file": "characters.txt"}  # noqa: RUF012
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, vocab_file: str | None = None, **kwargs: Any) -> None:
        named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<pad>"}
        super().__init__(**{**named, **kwargs})

    @property
    def vocab_size(self) -> int:
        return len(CHARACTERS)

    def get_vocab(self) -> dict[str, int]:
        return {character: n for n, character in enumerate(CHARACTERS)}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [character for character in text if character in CHARACTERS]

    def _convert_token_to_id(self, token: str) -> int:
        return CHARACTERS.index(token)

    def _convert_id_to_token(self, index: int) -> str:
        return CHARACTERS[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        with open(f"{save_directory}/characters.txt", "w", encoding="utf-8") as file:
            file.write("\n")
        return (f"{save_directory}/characters.txt",)


TOY = Family(
    facts=FamilyFacts(
        model_types=("toy",),
        control_tokens=("</s>",),
        tokenizer_files=("characters.txt",),
        stages={"tower": "eye", "text": "words", "logits": "head"},
        published={"somebody/toy": {"hidden_size": 64}},
        cache_bytes=lambda sizes, tiled, text_tokens: 2 * 2 * 2 * 32 * (4 + text_tokens),
    ),
    classes=((ToyConfig, ToyForCausalLM),),
    tokenizer=ToyTokenizer,
)
