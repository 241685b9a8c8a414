"""The batches of a fine-tuning: freshly drawn pictures, English questions of one kind, and their answers in Chinese."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.finetuning.request import HELD_OUT_QUESTIONS, QUESTIONS_PER_PICTURE, FinetuningRequest
from xcomposer_ui.training.conversations import Conversation, ConversationEncoder
from xcomposer_ui.training.pictures import sample_batch
from xcomposer_ui.training.questions import sample_turn
from xcomposer_ui.training.tower import pixel_tensor
from xcomposer_ui.training.world import Rng, Scene

TRAINED, HELD_OUT = 1, 2
"""Parts of the seeds of the pictures, so that the two kinds have none in common."""


@dataclass(frozen=True)
class Examples:
    """pixels: (N, 3, side, side) float32 on the CPU. conversations: QUESTIONS_PER_PICTURE about each picture."""

    pixels: Tensor
    conversations: list[Conversation]


class FinetuningData:
    """The batches of `request`, each drawn once and kept, so that every recipe sees the same.

    side: of the pictures in pixels. patches: along a side.
    """

    def __init__(self, request: FinetuningRequest, side: int, patches: int) -> None:
        self._request, self._side, self._patches = request, side, patches
        self.encoder = ConversationEncoder(EMBEDDED_PATH / "tokenizer.model")
        self._batches: list[Examples] = []

    @cached_property
    def held_out(self) -> Examples:
        """The questions of the accuracy, drawn when they are first needed."""
        return self._examples((HELD_OUT, 0), HELD_OUT_QUESTIONS // QUESTIONS_PER_PICTURE)

    def batch(self, step: int) -> Examples:
        """The batch of `step`, counted from 0; steps are asked for in order the first time."""
        while len(self._batches) <= step:
            self._batches.append(self._examples((TRAINED, len(self._batches)), self._request.batch))
        return self._batches[step]

    def _examples(self, part: tuple[int, int], pictures: int) -> Examples:
        seed = (self._request.seed, *part)
        drawn = sample_batch(seed, pictures, self._side, self._patches)
        rng = np.random.default_rng((*seed, 1))
        conversations = [
            self._conversation(rng, picture, scene)
            for picture, scene in enumerate(drawn.scenes)
            for _ in range(QUESTIONS_PER_PICTURE)
        ]
        return Examples(pixel_tensor(drawn), conversations)

    def _conversation(self, rng: Rng, picture: int, scene: Scene) -> Conversation:
        """One English question about `scene` with its answer in Chinese: equal seeds give the same question in both."""
        seed = int(rng.integers(2**32))
        english, chinese = (
            sample_turn(np.random.default_rng(seed), scene, self._request.kind, language, augment=False)
            for language in ("en", "zh")
        )
        return self.encoder.encode_turns(picture, [replace(english, answer=chinese.answer, mentions=())])
