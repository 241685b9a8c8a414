"""Failures that raise no exception: logits that are not finite, one token repeated to the end, an empty answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, FailureSite

NON_FINITE = "NonFiniteLogits"
REPEATED = "RepeatedToken"
EMPTY = "EmptyAnswer"

REPEATS = 16
"""Equal tokens at the end of a cut-off answer that make it a repetition."""


def each_logits(model: Any, check: Callable[[Tensor], None]) -> RemovableHandle:
    """A context in which `check` is called with every logits tensor that `model` computes, (B, T, vocabulary)."""
    handle: RemovableHandle = model.get_output_embeddings().register_forward_hook(lambda _, __, logits: check(logits))
    return handle


class FiniteWatch:
    """Checks that the logits of a run stay finite, and records the probability of each token that was chosen.

    Logits and tokens come in the same order, but a token may come after the logits of the next step: on Apple's GPU
    `generate` reads each token one step late, and computes a step more than the answer has tokens.

    log_probabilities: of the tokens given to `accumulate`, natural logarithms.
    """

    def __init__(self) -> None:
        self.log_probabilities: list[float] = []
        self._sum: Tensor | None = None
        self._pending: deque[Tensor] = deque()  # logits whose token is not known yet

    def finished(self) -> bool:
        """Whether all were finite. Releases the tensors, so that none is freed while a later run is measured."""
        self._pending.clear()
        total, self._sum = self._sum, None
        return total is None or bool(total.isfinite())

    def accumulate(self, token: int) -> None:
        """Add the oldest logits, by which `token` was chosen, to the sum. To be called outside timed sections.

        The device has been waited for when the token is known.
        """
        logits = self._pending.popleft()
        self.log_probabilities.append(logits[0, -1].float().log_softmax(-1)[token].item())
        # NaN and infinity persist in a sum: one pass instead of three. Finite logits add up to infinity only from
        # about 1e33 on.
        total = logits.sum(dtype=torch.float32)
        self._sum = total if self._sum is None else self._sum.add_(total)

    def note(self, logits: Tensor) -> None:
        """Check the logits of a step later: now they are only stored, so that the model is not slowed."""
        self._pending.append(logits)


def repeated_to_the_end(ids: Sequence[int], most: int) -> int:
    """How often `ids` repeat their last token at the end, if they were cut off at `most` tokens; else 0."""
    if len(ids) < max(most, REPEATS) or len(set(ids[-REPEATS:])) > 1:
        return 0
    return next((n for n, token in enumerate(reversed(ids)) if token != ids[-1]), len(ids))


def non_finite_site(flow: DtypeFlow) -> tuple[Message, FailureSite]:
    """The message and the place of logits that are not finite, from a traced run with values."""
    first = flow.first_non_finite()
    if first is None:
        return Message("silent.finite_when_traced"), FailureSite()
    before = [
        (call.max_abs, "at", call.name) for call in flow.calls[: first.index] if call.max_abs and not call.non_finite
    ]
    if first.max_abs_in:
        before.append((first.max_abs_in, "into", first.name))
    site, module = FailureSite(module=first.name), first.name or first.class_name
    if not before:
        return Message("silent.non_finite", module=module), site
    value, direction, name = max(before)
    facts = {"module": module, "value": f"{value:.4g}", "place": Message(f"silent.{direction}", module=name)}
    dtype = next((d for d in (*first.dtypes_out, *first.dtypes_parameters) if d in HALF_DTYPES), None)
    if dtype is None:
        return Message("silent.non_finite_after", **facts), site
    limit = torch.finfo(getattr(torch, dtype)).max
    share = {"share": f"{value / limit:.1%}", "dtype": dtype, "limit": f"{limit:.4g}"}
    return Message("silent.non_finite_of_limit", **facts, **share), site
