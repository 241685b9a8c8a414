"""The repetition penalty as the family's published code has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor


class BosRepetitionPenalty(RepetitionPenaltyLogitsProcessor):  # type: ignore[misc]
    """The repetition penalty over what was generated and the start token, which stood first in the original's ids.

    prompts: for each row, ids (1, T) that count as well: those of a prompt without a picture, which the original's
    penalty sees too. None for a row without.
    """

    def __init__(self, penalty: float, bos: int, prompts: Sequence[Tensor | None] = (None,)) -> None:
        super().__init__(penalty)
        self.bos = bos
        self.prompts = prompts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        start = torch.full((input_ids.shape[0], 1), self.bos, dtype=torch.long, device=input_ids.device)
        seen = torch.cat((start, input_ids), dim=1)
        scores = super().__call__(seen, scores)
        for n, prompt in enumerate(self.prompts):
            if prompt is None:
                continue
            fresh = prompt[:, ~torch.isin(prompt[0], seen[n])]  # once is enough: the penalty does not add up
            if fresh.numel():
                scores[n : n + 1] = super().__call__(fresh, scores[n : n + 1])
        return scores
