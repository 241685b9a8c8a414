"""Conversations through the model: a picture's tokens once, then all that is asked about it, sorted by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.conversations import Conversation
from xcomposer_ui.training.looking import SEEN_AFTER


@dataclass(frozen=True)
class Answers:
    """The model's logits at the answers of some conversations, with what they should be.

    logits: (tokens, vocabulary) float32. wanted: (tokens,). turn: (tokens,), the number of the turn they belong to,
    counted through `conversations`. scores: of each block's attention, as `quick_steps` yields them, none where it
    was not used. states: (B, T, width), what the block after which all is seen hands on.
    """

    conversations: tuple[Conversation, ...]
    logits: Tensor
    wanted: Tensor
    turn: Tensor
    scores: tuple[Tensor, ...] = ()
    states: Tensor | None = None

    def seen(self) -> Tensor:
        """`states`; raises ValueError where they were not watched."""
        if self.states is None:
            raise ValueError("these answers were not watched")
        return self.states

    def right(self) -> list[bool]:
        """For each turn, whether the model, answering greedily, would have given this very answer."""
        hit = self.logits.detach().argmax(-1) == self.wanted
        turns = sum(len(c.turns) for c in self.conversations)
        misses = torch.zeros(turns).index_add_(0, self.turn, (~hit).float())
        return [bool(m == 0) for m in misses]


def picture_cache(model: InternLMXComposer2ForCausalLM, before: Sequence[int], embeds: Tensor) -> DynamicCache:
    """Keys and values of what stands in front of the picture and of the picture itself. embeds: (N, tokens, width)."""
    count, tokens, _ = embeds.shape
    first = model.model.tok_embeddings(torch.tensor([list(before)], device=embeds.device)).expand(count, -1, -1)
    mask = torch.zeros(count, len(before) + tokens, dtype=torch.bool, device=embeds.device)
    mask[:, len(before) :] = True
    cache = DynamicCache()
    model.model(torch.cat((first.to(embeds.dtype), embeds), dim=1), mask, None, cache)
    return cache


def selected(cache: DynamicCache, pictures: Sequence[int]) -> DynamicCache:
    """A cache of its own for each of `pictures`, indices into `cache`'s batch."""
    result, layers = DynamicCache(), cast(Any, cache.layers)  # the library's type allows layers without keys
    count = layers[0].keys.shape[0]
    times = len(pictures) // count
    evenly = list(pictures) == [n for n in range(count) for _ in range(times)]
    rows = torch.tensor(pictures, device=layers[0].keys.device)
    for n, layer in enumerate(layers):
        # The same number for each picture is a view repeated, whose gradient is a sum; gathering rows is far slower.
        keys, values = (
            t[:, None].expand(-1, times, *t.shape[1:]).flatten(0, 1) if evenly else t[rows]
            for t in (layer.keys, layer.values)
        )
        result.update(keys, values, n)
    return result


def chunks(conversations: Sequence[Conversation], count: int) -> Iterator[list[Conversation]]:
    """`conversations` in up to `count` parts of like length, so that little is padded.

    Each part has the same number of conversations about each picture, in the pictures' order, if all had.
    """
    about: dict[int, list[Conversation]] = {}
    for conversation in conversations:
        about.setdefault(conversation.picture, []).append(conversation)
    ordered = [sorted(some, key=lambda c: len(c.ids)) for _, some in sorted(about.items())]
    most = max(map(len, ordered))
    size = -(-most // count)
    for start in range(0, most, size):
        yield [conversation for some in ordered for conversation in some[start : start + size]]


def answers(
    model: InternLMXComposer2ForCausalLM,
    conversations: Sequence[Conversation],
    cache: DynamicCache | None,
    watched: list[Tensor] | None = None,
) -> Answers:
    """Logits at the answers of `conversations`. cache: of the pictures, None where there are none.

    watched: the list that `quick_steps` yields; with it the answers also hold what `looking` needs.
    """
    device = model.output.weight.device
    longest = max(len(c.ids) for c in conversations)
    ids = torch.tensor([[*c.ids, *[0] * (longest - len(c.ids))] for c in conversations], device=device)
    rows: list[int] = []
    columns: list[int] = []
    turn: list[int] = []
    turns = 0
    for n, conversation in enumerate(conversations):
        for start, end in conversation.spans:
            rows += [n] * (end - start)
            columns += range(start, end)
            turn += [turns] * (end - start)
            turns += 1
    row, column = torch.tensor(rows, device=device), torch.tensor(columns, device=device)
    own = None if cache is None else selected(cache, [c.picture for c in conversations])
    # Padding comes last and answers look back only, so no mask is needed.
    scores: tuple[Tensor, ...] = ()
    states = None
    if watched is None:
        hidden = model.model(model.model.tok_embeddings(ids), None, None, own)
    else:
        watched.clear()
        with output_of(model.model.layers[SEEN_AFTER]) as kept:
            hidden = model.model(model.model.tok_embeddings(ids), None, None, own)
        scores, states = tuple(watched), kept[0]
    logits = model.output(hidden[row, column - 1]).float()
    return Answers(tuple(conversations), logits, ids[row, column], torch.tensor(turn, device=device), scores, states)


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that gets what `module` returns inside the block."""
    kept: list[Tensor] = []
    hook = module.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()
