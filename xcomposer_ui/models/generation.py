"""`generate` with pictures: prompt embeddings joined and padded, the cache, the end tokens, the repetition penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.cache_utils import Cache

from xcomposer_ui.models.cache import CACHE_NAME, PreallocatedCache


class BosRepetitionPenalty(RepetitionPenaltyLogitsProcessor):  # type: ignore[misc]
    """The repetition penalty over the generated ids and the start token, as in InternLM-XComposer's own code.

    prompts: for each row, further ids (1, T) to penalise: those of a prompt without a picture, as in the original.
    None for a row without.
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
            fresh = prompt[:, ~torch.isin(prompt[0], seen[n])]  # each id is penalised once
            if fresh.numel():
                scores[n : n + 1] = super().__call__(fresh, scores[n : n + 1])
        return scores


class GenerationInputs:
    """The part of a `FamilyModel` that prepares the inputs of `generate` and calls it, for one prompt or several."""

    @torch.no_grad()
    def answer_ids(
        self,
        tokenizer: Any,
        rows: Sequence[dict[str, Tensor]],
        *,
        do_sample: bool,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        **generate_arguments: Any,
    ) -> list[list[int]]:
        """The ids that the model generates after each of `rows`, as `prompt_inputs` returns them, at once.

        Each row's end with its end token, if there is one.
        """
        alone = len(rows) == 1
        inputs = rows[0] if alone else padded(rows, self.get_input_embeddings())
        if do_sample:
            generate_arguments.update(temperature=temperature, top_p=top_p, top_k=0)
        processors = LogitsProcessorList(generate_arguments.pop("logits_processor", None) or [])
        if repetition_penalty != 1:
            # Of several rows, all are embeddings, whose ids the penalty would not see.
            prompts = [None if alone else row.get("input_ids") for row in rows]
            processors.append(BosRepetitionPenalty(repetition_penalty, tokenizer.bos_token_id, prompts))
        generate_arguments.setdefault(CACHE_NAME, PreallocatedCache())
        sequences: Tensor = self.generate(
            **inputs,
            do_sample=do_sample,
            max_new_tokens=max_new_tokens,
            logits_processor=processors,
            eos_token_id=self.end_ids(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            **generate_arguments,
        )
        prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0  # embeddings are not returned
        return [self.until_end(tokenizer, ids) for ids in sequences[:, prompt:].tolist()]

    def end_ids(self, tokenizer: Any) -> list[int]:
        ends = [tokenizer.eos_token_id]
        return ends if self.turn_end is None else [*ends, tokenizer.convert_tokens_to_ids(self.turn_end)]

    def until_end(self, tokenizer: Any, ids: Sequence[int]) -> list[int]:
        """`ids` up to and including their first end token; the rest of a batch's row is padding."""
        ends = self.end_ids(tokenizer)
        end = next((n for n, token in enumerate(ids, 1) if token in ends), len(ids))
        return list(ids[:end])

    def joined_inputs(self, parts: Sequence[Sequence[int]], pixels: Sequence[Tensor]) -> dict[str, Tensor]:
        """inputs_embeds (1, T, width), im_mask (1, T) on the CPU, of token ids and the pictures' pixels between them.

        parts: one list of ids more than pictures; each may be empty. The prompt is cut at `max_prompt_tokens`.
        """
        return self.joined_embeddings(parts, [self.encode_image(picture) for picture in pixels])

    def joined_embeddings(self, parts: Sequence[Sequence[int]], pictures: Sequence[Tensor]) -> dict[str, Tensor]:
        """`joined_inputs` for pictures as `encode_image` returns them, (1, image tokens, width)."""
        embed = self.get_input_embeddings()
        pieces: list[tuple[Tensor, bool]] = []
        for n, ids in enumerate(parts):
            if ids:
                pieces.append((embed(on_device(torch.tensor([list(ids)]), self.text_device)), False))
            if n < len(pictures):
                pieces.append((pictures[n], True))
        # If the model is spread over several devices, the language model starts on the text embeddings' one.
        home = next((piece.device for piece, is_image in pieces if not is_image), self.text_device)
        pieces = [(piece.to(home), is_image) for piece, is_image in pieces]
        embeds = torch.cat([piece for piece, _ in pieces], dim=1)
        # On the host, which knows it: nothing that is made of it has to wait for the device.
        mask = torch.cat([torch.full(p.shape[:2], kind, device="cpu") for p, kind in pieces], dim=1)
        longest = self.config.max_prompt_tokens
        return {"inputs_embeds": embeds[:, :longest], "im_mask": mask[:, :longest]}

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        im_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The inputs of the next forward: first the prompt from where the cache ends, then one token at a time.

        input_ids: ids of the prompt and the new tokens, or only of the new tokens if inputs_embeds, the embeddings of
        the prompt, is given.
        """
        cache = past_key_values if cache is None else cache
        inputs: dict[str, Any] = {CACHE_NAME: cache, "use_cache": kwargs.get("use_cache", True)}
        if input_ids.shape[0] > 1:  # a single row has no padding, and attention without a mask is faster
            inputs["attention_mask"] = attention_mask
        inputs["logits_to_keep"] = 1
        past = 0 if cache is None else cache.get_seq_length()
        if inputs_embeds is None:
            return {**inputs, "input_ids": input_ids[:, min(past, input_ids.shape[1] - 1) :]}
        if past < inputs_embeds.shape[1]:
            rest = None if im_mask is None else im_mask[:, past:]
            return {**inputs, "inputs_embeds": inputs_embeds[:, past:], "im_mask": rest}
        return {**inputs, "input_ids": input_ids[:, -1:]}


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`; one of the host's without waiting for what is queued there."""
    pinned = device.type == "cuda" and tensor.device.type == "cpu"
    return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)


def padded(rows: Sequence[dict[str, Tensor]], embed: Any) -> dict[str, Tensor]:
    """Several `prompt_inputs` as one, padded left: inputs_embeds (B, T, width), im_mask, attention_mask (B, T).

    embed: token ids (1, T) to embeddings (1, T, width), for rows without a picture.
    """
    embeds = [row["inputs_embeds"] if "inputs_embeds" in row else embed(row["input_ids"]) for row in rows]
    longest = max(e.shape[1] for e in embeds)
    shape = len(rows), longest
    joined = embeds[0].new_zeros(*shape, embeds[0].shape[2])
    im_mask = torch.zeros(shape, dtype=torch.bool, device="cpu")
    attention_mask = torch.zeros(shape, dtype=torch.long, device=joined.device)
    for n, (row, own) in enumerate(zip(rows, embeds, strict=True)):
        start = longest - own.shape[1]
        joined[n, start:] = own[0]
        attention_mask[n, start:] = 1
        if "im_mask" in row:
            im_mask[n, start:] = row["im_mask"][0]
    return {"inputs_embeds": joined, "im_mask": im_mask, "attention_mask": attention_mask}
