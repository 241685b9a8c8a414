"""The facts about a model family that need no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Sizes = Mapping[str, Any]
"""The content of a config.json; a missing entry has the family's default."""


@dataclass(frozen=True)
class LoraFacts:
    """Low-rank adapters. layers: endings of the names of the linear layers that get one. dropout: of their inputs.

    Their alpha is the rank.
    """

    layers: tuple[str, ...]
    rank: int
    dropout: float


@dataclass(frozen=True, eq=False)
class FamilyFacts:
    """One family.

    Args:
        model_types: the `model_type` values of its config.json files.
        control_tokens: of its tokenizer; inside a question they would end the turn.
        image_mark: the placeholder of a picture in a prompt, None where the family has none.
        tokenizer_files: files that a checkpoint needs beside config.json and its weights.
        tensor_prefixes: prefixes of the names of the tensors that are loaded; () for all tensors.
        tiled_by: the tensor that only members that cut pictures into tiles have; None for a family without tiles.
        stages: stage of a traced run ("tower", "projector", "text", "logits") -> the module that computes it.
        published: hub id -> its sizes, where they differ from the defaults.
        small_sizes: size -> its value in a small model of the family, for sizes without a common name.
        lora: how the family is usually tuned by low-rank adapters; None where that is unknown.
        parameters: (sizes, tiled) -> number of parameters; None where they cannot be counted from the sizes.
        cache_bytes: (sizes, tiled, text tokens) -> bytes of keys and values in 16 bits, of one picture and the text.
    """

    model_types: tuple[str, ...]
    control_tokens: tuple[str, ...] = ()
    image_mark: str | None = None
    tokenizer_files: tuple[str, ...] = ()
    tensor_prefixes: tuple[str, ...] = ()
    tiled_by: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Sizes] = field(default_factory=dict)
    small_sizes: Mapping[str, int] = field(default_factory=dict)
    lora: LoraFacts | None = None
    parameters: Callable[[Sizes, bool], int] | None = None
    cache_bytes: Callable[[Sizes, bool, int], int] | None = None
