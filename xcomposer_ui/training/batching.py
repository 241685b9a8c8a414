"""Batched forward passes: one prefill per picture, then all conversations about it, grouped by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.attention_supervision import PROBED_LAYER
from xcomposer_ui.training.conversations import Conversation


@dataclass(frozen=True)
class AnswerLogits:
    """Logits at the answers' tokens of some conversations, with their targets.

    logits: (tokens, vocabulary) float32. targets: (tokens,) ids.
    turn: (tokens,), index of the turn that each token belongs to, counted over all conversations.
    scores: attention scores of each block, (B, heads, T, K), empty where they were not recorded.
    states: (B, T, width), output of PROBED_LAYER, None where it was not recorded.
    """

    conversations: tuple[Conversation, ...]
    logits: Tensor
    targets: Tensor
    turn: Tensor
    scores: tuple[Tensor, ...] = ()
    states: Tensor | None = None

    def exact_matches(self) -> list[bool]:
        """For each turn, whether greedy decoding would give exactly its answer."""
        correct = self.logits.detach().argmax(-1) == self.targets
        turns = sum(len(c.turns) for c in self.conversations)
        errors = self.logits.new_zeros(turns).index_add_(0, self.turn, (~correct).float())
        return [error == 0 for error in errors.tolist()]


def picture_cache(model: InternLMXComposer2ForCausalLM, prefix: Sequence[int], embeds: Tensor) -> DynamicCache:
    """Prefill the prompt's `prefix` and the pictures' embeddings, (N, tokens, width), into a KV cache."""
    count, tokens, _ = embeds.shape
    first = model.model.tok_embeddings(torch.tensor([list(prefix)], device=embeds.device)).expand(count, -1, -1)
    mask = torch.zeros(count, len(prefix) + tokens, dtype=torch.bool, device=embeds.device)
    mask[:, len(prefix) :] = True
    cache = DynamicCache()
    model.model(torch.cat((first.to(embeds.dtype), embeds), dim=1), mask, None, cache)
    return cache


def select_rows(cache: DynamicCache, pictures: Sequence[int]) -> DynamicCache:
    """New cache with one row per entry of `pictures`, which are row indices of `cache`."""
    result, layers = DynamicCache(), cast(Any, cache.layers)  # the library's type allows layers without keys
    count = layers[0].keys.shape[0]
    times = len(pictures) // count
    repeated = list(pictures) == [n for n in range(count) for _ in range(times)]
    rows = torch.tensor(pictures, device=layers[0].keys.device)
    for n, layer in enumerate(layers):
        # Each picture equally often is an expanded view, whose gradient is a sum; gathering rows is far slower.
        keys, values = (
            t[:, None].expand(-1, times, *t.shape[1:]).flatten(0, 1) if repeated else t[rows]
            for t in (layer.keys, layer.values)
        )
        result.update(keys, values, n)
    return result


def length_groups(conversations: Sequence[Conversation], count: int) -> Iterator[list[Conversation]]:
    """Divide `conversations` into up to `count` groups of similar length, to reduce padding.

    If every picture has the same number of conversations, then in every group too, in the order of the pictures.
    """
    by_picture: dict[int, list[Conversation]] = {}
    for conversation in conversations:
        by_picture.setdefault(conversation.picture, []).append(conversation)
    ordered = [sorted(some, key=lambda c: len(c.ids)) for _, some in sorted(by_picture.items())]
    most = max(map(len, ordered))
    size = -(-most // count)
    for start in range(0, most, size):
        yield [conversation for some in ordered for conversation in some[start : start + size]]


def answer_logits(
    model: InternLMXComposer2ForCausalLM,
    conversations: Sequence[Conversation],
    cache: DynamicCache | None,
    recorded: list[Tensor] | None = None,
) -> AnswerLogits:
    """Run `conversations` through the model with teacher forcing.

    Args:
        model: the model.
        conversations: about the pictures in `cache`.
        cache: from `picture_cache`; None where there are no pictures.
        recorded: the list that `cpu_kernels` yields, to record attention scores and hidden states as well.
    """
    device = model.output.weight.device
    longest = max(len(c.ids) for c in conversations)
    ids = torch.tensor([[*c.ids, *[0] * (longest - len(c.ids))] for c in conversations], device=device)
    spans = [(n, start, end) for n, conversation in enumerate(conversations) for start, end in conversation.spans]
    row, column, turn = torch.tensor(
        [(n, at, turn) for turn, (n, start, end) in enumerate(spans) for at in range(start, end)], device=device
    ).unbind(1)
    own = None if cache is None else select_rows(cache, [c.picture for c in conversations])
    # Padding comes last and attention is causal, so no mask is needed.
    scores: tuple[Tensor, ...] = ()
    states = None
    if recorded is None:
        hidden = model.model(model.model.tok_embeddings(ids), None, None, own)
    else:
        recorded.clear()
        with output_of(model.model.layers[PROBED_LAYER]) as outputs:
            hidden = model.model(model.model.tok_embeddings(ids), None, None, own)
        scores, states = tuple(recorded), outputs[0]
    logits = model.output(hidden[row, column - 1]).float()
    return AnswerLogits(tuple(conversations), logits, ids[row, column], turn, scores, states)


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Record the outputs of `module` inside the block in the list that is yielded."""
    outputs: list[Tensor] = []
    hook = module.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()
