"""Runs a question under a strategy: the picture's cast, autocast, and the settings of `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request, tile_settings
from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.models.range_stress import stressed

EXPECTED = (RuntimeError, TypeError, ValueError, MemoryError)
"""Expected failures of a model call, out of memory included; any other exception is a bug."""


Arithmetic = tuple[str, str, int]
"""(strategy, 16-bit dtype, exponent of the range stress): what was computed under another one is not reused."""


@dataclass(frozen=True, eq=False)
class ModelRun:
    """A question on a loaded model under a strategy, whose dtype the weights have."""

    model: Any
    tokenizer: Any
    question: Request
    strategy: Strategy

    @classmethod
    def of(cls, model: Any, tokenizer: Any, question: Request) -> ModelRun:
        """The run of `question` under its own strategy."""
        return cls(model, tokenizer, question, question.method)

    @property
    def arithmetic_key(self) -> Arithmetic:
        return self.question.strategy, self.question.half_dtype, self.question.stress_exponent or 0

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The context in which the model is called: the strategy's autocast, float32 without TF32, the range stress."""
        autocast = strategy_autocast(self.strategy, self.question.half_dtype, self.model.device.type)
        with without_tf32(), autocast, stressed(self.model, self.question.stress_exponent):
            yield

    def pixels(self) -> Tensor:
        """The picture's pixels in the strategy's dtype. The one cast of the lab.

        Raises UserError where tiles are requested of a model without any: of some checkpoints only the weights show it.
        """
        if self.question.requests_tiles and not self.model.config.cuts_tiles:
            raise UserError("no_tiles")
        pixels: Tensor = self.model.preprocess(self.question.image, **tile_settings(self.question))
        return pixels.to(getattr(torch, self.strategy.image_dtype(self.question.half_dtype)))

    def prompt(self) -> dict[str, Tensor]:
        """The question as the model's inputs, read in one piece."""
        question = self.question
        pixels = None if question.image is None else self.pixels()
        inputs: dict[str, Tensor] = self.model.prompt_inputs(self.tokenizer, question.text, pixels, question.history)
        return inputs

    def answer_ids(self, streamer: Any | None = None) -> list[int]:
        """The ids of the answer, the prompt read in one piece. Call it within `arithmetic`."""
        torch.manual_seed(self.question.seed)
        settings = sampling(self.question)
        ids: list[int]
        (ids,) = self.model.answer_ids(self.tokenizer, [self.prompt()], streamer=streamer, **settings)
        return ids


def strategy_autocast(strategy: Strategy, half: str, device_type: str) -> AbstractContextManager[object]:
    """torch.autocast to the 16-bit dtype `half` where `strategy` has it."""
    return autocast_to(half if strategy.autocast else None, device_type, caches_weights=strategy.caches_weights)


def autocast_to(dtype: str | None, device_type: str, *, caches_weights: bool = True) -> AbstractContextManager[object]:
    """torch.autocast to `dtype`; a context that does nothing where that is None.

    caches_weights: whether autocast keeps its copies of float32 weights until the context ends.
    """
    if dtype is None:
        return nullcontext()
    return torch.autocast(device_type, getattr(torch, dtype), cache_enabled=caches_weights)


@contextmanager
def without_tf32() -> Iterator[None]:
    """A context in which float32 is float32 throughout.

    By default cuDNN computes float32 convolutions in TF32, with 10 bits of mantissa. The vision tower begins with one:
    on an H200 its features then differ from float32's by up to 1.6e-3, sixteen times the bound of the fidelity cases.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


def sampling(question: Request) -> dict[str, Any]:
    """The question's settings as `answer_ids` takes them; temperature 0 is greedy."""
    settings: dict[str, Any] = {
        "do_sample": question.temperature > 0,
        "max_new_tokens": question.max_new_tokens,
        "repetition_penalty": question.repetition_penalty,
    }
    if question.temperature > 0:
        settings.update(temperature=question.temperature, top_p=question.top_p)
    return settings
