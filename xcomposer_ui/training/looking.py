"""Where the language model looks while it answers, and what it must have seen there; both are losses for training only.

Attention by shape or colour is not found in the time there is from the answers alone: a picture's few colours are
guessed instead. And what is looked at is read by the answers one word at a time; here all of it is asked for at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.training.conversations import Conversation
from xcomposer_ui.training.wordings import SIDES
from xcomposer_ui.training.world import COLOURS, MOST_THINGS, PLACES, SHAPES, Scene

LOOKING_LAYERS = (1, 2)
"""The blocks whose attention learns where to look: the first reads the question, the last puts it into words."""

SEEN_AFTER = LOOKING_LAYERS[-1]
"""The block whose output must hold what was looked at."""

NOUNS = 2
"""Most things that one question compares."""


def looking_loss(scores: Sequence[Tensor], conversations: Sequence[Conversation], things: Tensor) -> Tensor:
    """How little of the attention, while answering, goes to the patches of the thing that is asked about.

    scores: of some blocks, (B, heads, T, K) before the softmax, the pictures' patches last before the T tokens.
    things: (N, patches). The first noun's thing is the first head's, the second's that of the middle head; for what
    is not there they look at the very first token instead, so that it stands out from what is.
    """
    heads, length, keys = scores[0].shape[1:]
    patches = things.shape[1]
    start = keys - length - patches
    found = [(n, *look) for n, conversation in enumerate(conversations) for look in conversation.looks]
    if not found:
        return scores[0].new_zeros(())
    masks: dict[tuple[int, tuple[int, ...]], Tensor] = {}
    for n, _, _, looked in found:
        if (n, looked) not in masks:
            there = torch.isin(things[conversations[n].picture], torch.tensor(looked, dtype=things.dtype))
            masks[n, looked] = torch.cat((~there.any(keepdim=True), there))
    wanted = torch.stack([masks[n, looked] for n, _, _, looked in found])  # (looks, 1 + patches)
    rows, columns = torch.tensor([(n, at - 1) for n, at, _, _ in found]).unbind(1)
    head = torch.tensor([noun * (heads // NOUNS) for _, _, noun, _ in found])
    losses = []
    for score in scores:
        chosen = score[rows, head, columns].float()  # (looks, K)
        seen = torch.cat((chosen[:, :1], chosen[:, start : start + patches]), dim=1)
        losses.append((chosen.logsumexp(-1) - seen.masked_fill(~wanted, float("-inf")).logsumexp(-1)).mean())
    return torch.stack(losses).mean()


class SeeingHead(nn.Module):
    """A throw-away head: what a state of `width` knows of what was looked at for each noun, and of the side asked."""

    sizes = (len(SHAPES), len(COLOURS), len(PLACES), MOST_THINGS + 1, 2)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, NOUNS * sum(self.sizes))
        self.side = nn.Linear(width, len(SIDES))

    def seen(self, states: Tensor, noun: Tensor) -> tuple[Tensor, ...]:
        """(looks, width) and each look's noun to the logits of shape, colour, place and number; and the centre."""
        out = self.head(self.norm(states)).float().unflatten(-1, (NOUNS, -1))
        return out[torch.arange(len(noun)), noun].split(self.sizes, dim=-1)

    def asked_side(self, states: Tensor) -> Tensor:
        """(tokens, width) to the logits of the side that was asked about, (tokens, SIDES)."""
        return self.side(self.norm(states)).float()


def seeing_loss(
    head: SeeingHead, states: Tensor, conversations: Sequence[Conversation], scenes: Sequence[Scene]
) -> Tensor:
    """How little the states, (B, T, width), before an answer's tokens know of what was to be looked at.

    Shape, colour, place and centre where that is one thing; how many things there were to look at; and, in a relation,
    which side is asked about: in Chinese it has many names, and comes last.
    """
    found = [(n, *look) for n, conversation in enumerate(conversations) for look in conversation.looks]
    if not found:
        return states.new_zeros(())
    rows, columns, noun, number = torch.tensor([(n, at - 1, noun, len(many)) for n, at, noun, many in found]).unbind(1)
    shape, colour, place, counted, centre = head.seen(states[rows, columns], noun)
    loss = F.cross_entropy(counted, number)
    sides = [(n, at - 1, side) for n, conversation in enumerate(conversations) for at, side in conversation.sides]
    if sides:
        row, column, side = torch.tensor(sides).unbind(1)
        loss = loss + F.cross_entropy(head.asked_side(states[row, column]), side)
    one = number == 1
    if one.any():
        things = [scenes[conversations[n].picture].things[many[0]] for n, _, _, many in found if len(many) == 1]
        classes = torch.tensor([(t.shape, t.colour, t.place) for t in things])
        for logits, wanted in zip((shape, colour, place), classes.unbind(1), strict=True):
            loss = loss + F.cross_entropy(logits[one], wanted)
        loss = loss + 4 * (centre[one] - torch.tensor([(t.x, t.y) for t in things])).abs().mean()
    return loss
