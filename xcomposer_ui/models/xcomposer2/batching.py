"""`chat_batch`: several questions at once, padded on the left, each answered as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.models.xcomposer2.answer import answer_text
from xcomposer_ui.models.xcomposer2.chat import ChatHistory, Picture
from xcomposer_ui.models.xcomposer2.prompt import History
from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END


class BatchMixin:
    """What `ChatMixin` does for one question, for several."""

    @torch.no_grad()
    def chat_batch(
        self,
        tokenizer: Any,
        queries: Sequence[str],
        images: Sequence[Picture | Sequence[Picture] | None],
        histories: Sequence[History] | None = None,
        *,
        meta_instruction: str | None = None,
        hd_num: int | None = None,
        do_sample: bool = True,
        max_new_tokens: int = 1024,
        temperature: float = 1.0,
        top_p: float = 0.8,
        repetition_penalty: float = 1.005,
        **generate_arguments: Any,
    ) -> list[tuple[str, ChatHistory]]:
        """Answer several questions at once, each as `chat` would alone; greedy answers in float32 are the same.

        queries, images, histories: one each a question, of the kinds that `chat` takes.
        Raises ValueError where their numbers differ or there is none, and what `chat` raises.
        """
        histories = [()] * len(queries) if histories is None else histories
        if not queries or not len(queries) == len(images) == len(histories):
            found = f"{len(queries)} queries, {len(images)} images and {len(histories)} histories"
            raise ValueError(f"a batch needs as many queries as images and histories, at least one: {found}")
        rows = [
            self.prompt_inputs(tokenizer, query, image, history, meta_instruction, hd_num=hd_num)
            for query, image, history in zip(queries, images, histories, strict=True)
        ]
        answers = self.batch_ids(
            tokenizer,
            rows,
            do_sample=do_sample,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            **generate_arguments,
        )
        return [
            (answer := answer_text(tokenizer, ids), [*history, (query, answer)])
            for ids, history, query in zip(answers, histories, queries, strict=True)
        ]

    @torch.no_grad()
    def batch_ids(
        self, tokenizer: Any, rows: Sequence[dict[str, Tensor]], **generate_arguments: Any
    ) -> list[list[int]]:
        """What `answer_ids` gives, for several `prompt_inputs` at once: each row's ids, its end token the last."""
        penalised = [row.get("input_ids") for row in rows]
        sequences = self._generated(tokenizer, padded(rows, self.model.tok_embeddings), penalised, **generate_arguments)
        ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_END)}
        return [until_end(ids, ends) for ids in sequences.tolist()]


def until_end(ids: Sequence[int], ends: set[int]) -> list[int]:
    """`ids` as far as their first end token: what follows in a row only waits for the others."""
    end = next((n for n, token in enumerate(ids, 1) if token in ends), len(ids))
    return list(ids[:end])


def padded(rows: Sequence[dict[str, Tensor]], embed: Any) -> dict[str, Tensor]:
    """Several `prompt_inputs` as one, padded left: inputs_embeds (B, T, width), im_mask, attention_mask (B, T).

    embed: token ids (1, T) to embeddings (1, T, width), for rows without a picture.
    """
    embeds = [row["inputs_embeds"] if "inputs_embeds" in row else embed(row["input_ids"]) for row in rows]
    longest = max(e.shape[1] for e in embeds)
    shape = len(rows), longest
    joined = embeds[0].new_zeros(*shape, embeds[0].shape[2])
    im_mask = torch.zeros(shape, dtype=torch.bool, device=joined.device)
    attention_mask = torch.zeros(shape, dtype=torch.long, device=joined.device)
    for n, (row, own) in enumerate(zip(rows, embeds, strict=True)):
        start = longest - own.shape[1]
        joined[n, start:] = own[0]
        attention_mask[n, start:] = 1
        if "im_mask" in row:
            im_mask[n, start:] = row["im_mask"][0]
    return {"inputs_embeds": joined, "im_mask": im_mask, "attention_mask": attention_mask}
