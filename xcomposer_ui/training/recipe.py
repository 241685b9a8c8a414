"""Hyperparameters of the embedded model and of its training."""

from __future__ import annotations

from dataclasses import dataclass

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters; with the same ones, a run without a time budget is reproducible.

    seed: of everything random. side, patch: size of pictures and patches in pixels.
    tower_width, tower_layers, tower_heads, tower_mlp: vision tower.
    width, layers, heads, key_value_heads, feed_forward, rank: language model; rank is PLoRA's.
    vocabulary: number of pieces of the tokenizer.
    tower_steps, tower_batch, tower_rate: stage one: steps, pictures per step, peak learning rate.
    steps, batch, turns, rate: stage two: steps, pictures per step, questions per picture, peak learning rate.
    average: decay of the moving average of the weights, which become the model's.
    """

    seed: int = 317
    side: int = 126
    patch: int = 14
    tower_width: int = 96
    tower_layers: int = 6
    tower_heads: int = 3
    tower_mlp: int = 384
    width: int = 128
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 384
    rank: int = 16
    vocabulary: int = 1280
    tower_steps: int = 12000
    tower_batch: int = 32
    tower_rate: float = 1.5e-3
    steps: int = 13700
    batch: int = 16
    turns: int = 8
    rate: float = 1.3e-3
    average: float = 0.998

    @property
    def patches(self) -> int:
        """Number of patches along one side of a picture."""
        return self.side // self.patch

    def configuration(self) -> InternLMXComposer2Config:
        """Configuration of the model."""
        return InternLMXComposer2Config(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_value_heads,
            max_position_embeddings=2048,
            rope_theta=10000.0,
            img_size=self.side,
            max_length=2048,
            vision_config={
                "hidden_size": self.tower_width,
                "intermediate_size": self.tower_mlp,
                "num_hidden_layers": self.tower_layers,
                "num_attention_heads": self.tower_heads,
                "patch_size": self.patch,
            },
            plora_rank=self.rank,
            plora_alpha=self.rank,
            meta_instruction="",
            architectures=["InternLMXComposer2ForCausalLM"],
        )
