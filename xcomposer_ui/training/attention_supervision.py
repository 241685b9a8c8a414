"""Auxiliary losses on the language model's attention and hidden states, used in training only.

With the loss of the answers alone, the model does not find attention by shape or colour in the available time; it
guesses among the few colours of the picture instead. So the attention is supervised directly, and a probe must read
all facts about the attended things from a hidden state at once, where an answer uses them one word at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.training.conversations import Conversation
from xcomposer_ui.training.phrases import SIDES
from xcomposer_ui.training.world import COLOURS, MAX_THINGS, PLACES, SHAPES, Scene

SUPERVISED_LAYERS = (1, 2)
"""Blocks whose attention is supervised: neither the first, which reads the question, nor the last."""

PROBED_LAYER = SUPERVISED_LAYERS[-1]
"""Block whose output the probe reads."""

MAX_NOUNS = 2
"""Most nouns in a question."""


def attention_loss(scores: Sequence[Tensor], conversations: Sequence[Conversation], things: Tensor) -> Tensor:
    """Negative log of the attention to the patches of the things asked about, averaged over targets and blocks.

    The first head is supervised for a question's first noun, the middle head for its second. Where a noun refers to
    no thing, the target is the sequence's first token, so that absence differs from presence.

    Args:
        scores: for each supervised block, (B, heads, T, K) before the softmax. The keys end with the picture's
            patches and then the T tokens.
        conversations: the B conversations.
        things: (N, patches), the thing that each patch of each picture shows, as in `Batch.thing`.

    Returns:
        A scalar, 0 where there are no targets.
    """
    heads, length, keys = scores[0].shape[1:]
    patches = things.shape[1]
    start = keys - length - patches
    targets = [
        (n, *target) for n, conversation in enumerate(conversations) for target in conversation.attention_targets
    ]
    if not targets:
        return scores[0].new_zeros(())
    masks: dict[tuple[int, tuple[int, ...]], Tensor] = {}
    for n, _, _, attended in targets:
        if (n, attended) not in masks:
            shown = torch.isin(things[conversations[n].picture], torch.tensor(attended, dtype=things.dtype))
            masks[n, attended] = torch.cat((~shown.any(keepdim=True), shown))
    mask = torch.stack([masks[n, attended] for n, _, _, attended in targets])  # (targets, 1 + patches)
    rows, columns = torch.tensor([(n, at - 1) for n, at, _, _ in targets]).unbind(1)
    head = torch.tensor([noun * (heads // MAX_NOUNS) for _, _, noun, _ in targets])
    losses = []
    for score in scores:
        selected = score[rows, head, columns].float()  # (targets, K)
        candidates = torch.cat((selected[:, :1], selected[:, start : start + patches]), dim=1)
        attended_mass = candidates.masked_fill(~mask, float("-inf")).logsumexp(-1)
        losses.append((selected.logsumexp(-1) - attended_mass).mean())
    return torch.stack(losses).mean()


class StateProbe(nn.Module):
    """Auxiliary head that reads, from a hidden state of `width`, the things of each noun and the side of a relation."""

    sizes = (len(SHAPES), len(COLOURS), len(PLACES), MAX_THINGS + 1, 2)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, MAX_NOUNS * sum(self.sizes))
        self.side = nn.Linear(width, len(SIDES))

    def thing_logits(self, states: Tensor, noun: Tensor) -> tuple[Tensor, ...]:
        """Logits of shape, colour, place and number, and the centre, from states (M, width) and their nouns (M,)."""
        out = self.head(self.norm(states)).float().unflatten(-1, (MAX_NOUNS, -1))
        return out[torch.arange(len(noun)), noun].split(self.sizes, dim=-1)

    def side_logits(self, states: Tensor) -> Tensor:
        """Logits of the relation's side, (M, SIDES), from states (M, width)."""
        return self.side(self.norm(states)).float()


def probe_loss(
    probe: StateProbe, states: Tensor, conversations: Sequence[Conversation], scenes: Sequence[Scene]
) -> Tensor:
    """Loss of the probe's predictions from the states before the tokens of the answers.

    Predicted are the number of things that each noun refers to; shape, colour, place and centre where that is one; and
    the side of a relation, which a Chinese question names last and in many ways.

    Args:
        probe: the head.
        states: (B, T, width).
        conversations: the B conversations.
        scenes: contents of each picture.

    Returns:
        A scalar, 0 where there are no targets.
    """
    targets = [
        (n, *target) for n, conversation in enumerate(conversations) for target in conversation.attention_targets
    ]
    if not targets:
        return states.new_zeros(())
    rows, columns, noun, number = torch.tensor([(n, at - 1, noun, len(ids)) for n, at, noun, ids in targets]).unbind(1)
    shape, colour, place, counted, centre = probe.thing_logits(states[rows, columns], noun)
    loss = F.cross_entropy(counted, number)
    sides = [
        (n, at - 1, side) for n, conversation in enumerate(conversations) for at, side in conversation.side_targets
    ]
    if sides:
        row, column, side = torch.tensor(sides).unbind(1)
        loss = loss + F.cross_entropy(probe.side_logits(states[row, column]), side)
    single = number == 1
    if single.any():
        things = [scenes[conversations[n].picture].things[ids[0]] for n, _, _, ids in targets if len(ids) == 1]
        classes = torch.tensor([(t.shape, t.colour, t.place) for t in things])
        for logits, target in zip((shape, colour, place), classes.unbind(1), strict=True):
            loss = loss + F.cross_entropy(logits[single], target)
        loss = loss + 4 * (centre[single] - torch.tensor([(t.x, t.y) for t in things])).abs().mean()
    return loss
