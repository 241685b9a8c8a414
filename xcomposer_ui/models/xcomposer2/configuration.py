"""The configuration of the InternLM-XComposer2 family, read from the published checkpoints' own config.json.

These have neither a vision configuration nor a PLoRA rank, which are constants in their own code; the defaults here
are those values (https://huggingface.co/internlm/internlm-xcomposer2-vl-7b, config.json).
"""

from __future__ import annotations

import copy
from typing import Any

from transformers import CLIPVisionConfig, PretrainedConfig

from xcomposer_ui.models.xcomposer2.tiles import TILE_RULES, tiled_size

ARCHITECTURE = "InternLMXComposer2ForCausalLM"

CLIP_VIT_L_14: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


class InternLMXComposer2Config(PretrainedConfig):  # type: ignore[misc]
    """Sizes of an InternLM-XComposer2 model; the defaults are the single-image 7B member's.

    img_size: side of the square picture that the vision tower sees, in pixels, a multiple of its patch size.
    vision_config: fields of a CLIPVisionConfig; what is missing is CLIP ViT-L/14's.
    plora_rank, plora_alpha: of the low-rank addition at image tokens; it is scaled by alpha / rank.
    rope_scaling: None or {"type": "dynamic", "factor": f}.
    max_length: most prompt tokens, picture included; the rest is cut off.
    meta_instruction: the system turn when `chat` is given none; None for the family's, "" for no system turn.
    rotary_dtype: the dtype that the tables of rotary positions are rounded to, in torch's spelling; "float32" for
    exact ones. By default, the dtype of the stored weights in a config.json.
    tiles: None for a single-image member; "2.5" or "4khd" for a tiled one with those rules. `fit_to_weights` sets it
    from the checkpoint's weights.

    Raises ValueError if sizes contradict one another, or for a RoPE scaling that the family does not support.
    """

    model_type = "internlmxcomposer2"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012  (transformers reads it from the class)

    def __init__(
        self,
        vocab_size: int = 92544,
        hidden_size: int = 4096,
        intermediate_size: int = 14336,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        num_key_value_heads: int | None = 8,
        max_position_embeddings: int = 32768,
        rms_norm_eps: float = 1e-5,
        rope_theta: float = 1e6,
        rope_scaling: dict[str, Any] | None = None,
        initializer_range: float = 0.02,
        img_size: int = 490,
        max_length: int = 4096,
        vision_config: dict[str, Any] | CLIPVisionConfig | None = None,
        plora_rank: int = 256,
        plora_alpha: int = 256,
        meta_instruction: str | None = None,
        rotary_dtype: str = "float32",
        tiles: str | None = None,
        pad_token_id: int = 2,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_attention_heads if num_key_value_heads is None else num_key_value_heads
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.initializer_range = initializer_range
        self.img_size = img_size
        self.max_prompt_tokens = kwargs.pop("max_prompt_tokens", max_length)
        self.plora_rank = plora_rank
        self.plora_alpha = plora_alpha
        self.meta_instruction = meta_instruction
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.tie_word_embeddings = tie_word_embeddings
        # transformers would rewrite `rope_scaling` into its own layout; under other names, a saved configuration is
        # read back unchanged by every release.
        self.rope_base = kwargs.pop("rope_base", float(rope_theta))
        self.rope_dynamic_factor = kwargs.pop("rope_dynamic_factor", _dynamic_factor(rope_scaling))
        self.rotary_dtype = rotary_dtype
        self.tiles = tiles
        # Some published files say `use_cache: false`; answering without the cache would take quadratic time.
        kwargs["use_cache"] = True
        self.vision_config = _vision_config(vision_config, img_size)
        super().__init__(**kwargs)
        self._check()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As transformers' method, with `rotary_dtype` set to the dtype of the stored weights.

        The published code computes those tables in the checkpoint's dtype and does not cast them later. With tables
        computed in float32, logits differ from the original's by 1.8e-4 on the small reference cases; with rounded
        ones, by 3e-6.
        """
        stored = config_dict.get("dtype") or config_dict.get("torch_dtype") or "float32"
        config_dict = {"rotary_dtype": str(stored).removeprefix("torch."), **config_dict}
        return super().from_dict(config_dict, **kwargs)

    @property
    def head_dim(self) -> int:
        """Width of one attention head of the language model."""
        return int(self.hidden_size // self.num_attention_heads)

    @property
    def tower_side(self) -> int:
        """Side of the square pictures that the vision tower sees, in pixels."""
        return int(self.vision_config.image_size)

    @property
    def cuts_tiles(self) -> bool:
        """Whether this is a tiled member."""
        return self.tiles is not None

    def pixel_size(self, picture: tuple[int, int], hd_num: int | None) -> tuple[int, int]:
        """(height, width) in pixels that a picture of (width, height) is resized and padded to."""
        side = self.tower_side
        if self.tiles is None:
            return side, side
        rules = TILE_RULES[self.tiles]
        width, height = tiled_size(max(picture), min(picture), side, hd_num or rules.hd_num, rules)
        height += -height % side
        return (height, width) if picture[0] >= picture[1] else (width, height)

    def image_tokens_of(self, pixels: tuple[int, int]) -> int:
        """Number of tokens in the prompt for a picture of `pixels`, (height, width) as `pixel_size` returns it."""
        return self.image_tokens(*(n // self.tower_side for n in pixels))

    def layer_counts(self) -> dict[str, int]:
        """Blocks of the vision tower and of the language model."""
        return {"tower": int(self.vision_config.num_hidden_layers), "language": int(self.num_hidden_layers)}

    def with_layers(self, most: int) -> InternLMXComposer2Config:
        """A copy with at most `most` blocks in each part."""
        small = copy.deepcopy(self)
        small.vision_config.num_hidden_layers = min(most, self.vision_config.num_hidden_layers)
        small.num_hidden_layers = min(most, self.num_hidden_layers)
        return small

    def image_tokens(self, rows: int = 1, columns: int = 1) -> int:
        """Number of a picture's tokens in the prompt; rows and columns of tiles are used for tiled members only."""
        patches = self.tower_side // int(self.vision_config.patch_size)
        if self.tiles is None:
            return patches**2
        n = patches // 2
        return n * (n + 1) + 1 + rows * n * (columns * n + 1)

    def _check(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is no multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.tiles is not None and self.tiles not in TILE_RULES:
            raise ValueError(f"tiles is {self.tiles!r}; the family has '2.5', '4khd' or none")
        architectures = getattr(self, "architectures", None)
        if architectures and ARCHITECTURE not in architectures:
            raise ValueError(f"a checkpoint of {architectures[0]} is no {ARCHITECTURE}; load it by its own class")


class InternLM2TypedConfig(InternLMXComposer2Config):
    """The same configuration for a config.json of type `internlm2`, which a part of the family has."""

    model_type = "internlm2"

    def __init__(self, **kwargs: Any) -> None:  # without it, transformers would make this a dataclass
        super().__init__(**kwargs)


def _vision_config(given: dict[str, Any] | CLIPVisionConfig | None, img_size: int) -> CLIPVisionConfig:
    if isinstance(given, CLIPVisionConfig):
        return given
    return CLIPVisionConfig(**{**CLIP_VIT_L_14, "image_size": img_size, **(given or {})})


def _dynamic_factor(rope_scaling: dict[str, Any] | None) -> float | None:
    """The factor of dynamic RoPE scaling, None without scaling."""
    if not rope_scaling:
        return None
    kind = rope_scaling.get("rope_type", rope_scaling.get("type"))
    if kind in (None, "default"):
        return None
    if kind != "dynamic":
        raise ValueError(f"rope_scaling of type {kind!r} is not of this family; it has 'dynamic' or none")
    return float(rope_scaling.get("factor", 1.0))
