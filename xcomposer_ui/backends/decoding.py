"""How one run's tokens are decoded: eagerly, or by replaying a recorded step that proved itself.

The step at which a graph is recorded is computed eagerly as well, and its logits are what the graph's have to agree
with. Embedding and output layer stay outside of the graph, so that whoever watches them sees every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import EXPECTED
from xcomposer_ui.backends.devices import free_bytes
from xcomposer_ui.backends.graph_decoder import EAGER, GRAPH, GraphDecoder, RecordedStep, Step, StepKey
from xcomposer_ui.core.errors import first_line
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.models.cache import DecodingCache, PreallocatedCache, StaticCache, capacity_for, layer_tensors

MARGIN = 1.25
"""What has to be free, over the static cache's size: a graph's own memory is a few MiB beside it."""

ABSOLUTE_BOUND = 1e-4
"""Largest difference of a graph's logits from the eager ones: that of the fidelity cases."""

SPACINGS = 16
"""The same in other dtypes than float32: this many times the dtype's spacing at 1, times the largest logit."""


class Decoding:
    """How one run is decoded. `cache` is what `generate` takes.

    way: "graph" or "eager", by the latest step. reason: why. record_sec: spent on recording and proving, outside of the
    run's clock; None where nothing was recorded.
    """

    def __init__(
        self,
        decoder: GraphDecoder,
        model: Any,
        key: StepKey,
        prompt: PreallocatedCache,
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """paused: makes a context in which the run's clock stands still."""
        self.way, self.reason = EAGER, decoder.reason
        self.record_sec: float | None = None
        self._decoder, self._model, self._key, self._paused = decoder, model, key, paused
        self._step: RecordedStep | None = None
        self._kept_bytes = decoder.nbytes
        self.cache: PreallocatedCache = prompt
        self._tries = decoder.record is not None
        if self._tries and not model.decodes_in_place:
            self._stay_eager(Message("reason.decoder.family"))
        elif self._tries and (refused := decoder.refused.get(key)) is not None:
            self._stay_eager(refused)
        if self._tries:
            self.cache = DecodingCache(prompt, self._decode)

    @property
    def nbytes(self) -> int:
        """Bytes of the run's static cache."""
        return 0 if self._step is None else self._step.cache.nbytes

    def correction_bytes(self, kind: str) -> int:
        """Bytes to add to a meter's figures, by its kind: those of this run's static cache count, no other's do."""
        made = max(0, self._decoder.nbytes - self._kept_bytes)
        if kind == "cpu_tensors":  # which counts what is allocated during the run
            return max(0, self.nbytes - made)
        return -max(0, self._kept_bytes + made - self.nbytes)

    def close(self) -> None:
        """Let go of the caches and the model: who follows the run keeps a reference to it."""
        self.cache, self._step, self._model = PreallocatedCache(), None, None

    def _decode(self, cache: DecodingCache, embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
        if self._step is None and self._tries:
            return self._begin(cache, embeds, attention_mask)
        if self._step is not None and cache.get_seq_length() == self._step.cache.capacity:
            self._grow(cache, embeds, attention_mask)
        if self._step is None:
            return self._eager(cache, embeds, attention_mask)
        return self._replay(self._step, cache, embeds)

    def _eager(self, cache: DecodingCache, embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
        hidden: Tensor = self._model.hidden_states(embeds, None, attention_mask, cache)
        return hidden

    def _replay(self, step: RecordedStep, cache: DecodingCache, embeds: Tensor) -> Tensor:
        step.cache.position.fill_(cache.get_seq_length())
        hidden = step.run(embeds)
        cache.steps += 1
        return hidden

    def _begin(self, cache: DecodingCache, embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The first step: a replay where it is recorded, else computed eagerly, then recorded."""
        tokens = cache.get_seq_length()
        capacity = capacity_for(tokens, self._model.config.max_position_embeddings)
        if capacity is None:
            self._stay_eager(Message("reason.decoder.long"))
            return self._eager(cache, embeds, attention_mask)
        starts = _starts(embeds, attention_mask)
        if step := self._decoder.find(self._key, capacity):
            step.cache.load(*layer_tensors(cache), tokens, starts)
            self._use(step)
            return self._replay(step, cache, embeds)
        expected = self._eager(cache, embeds, attention_mask)
        with self._paused():
            self._record(cache, capacity, tokens, starts, embeds, expected)
        return expected

    def _grow(self, cache: DecodingCache, embeds: Tensor, attention_mask: Tensor | None) -> None:
        """Go on in a larger static cache; eagerly where there is none."""
        assert self._step is not None
        old = self._step.cache
        tokens = old.capacity
        capacity = capacity_for(tokens, self._model.config.max_position_embeddings)
        with self._paused():
            # What this cache lacks of the tokens, for the eager step that the larger one has to agree with.
            first = tokens - cache.steps
            for layer, (keys, values) in enumerate(zip(old.keys, old.values, strict=True)):
                cache.update(keys[:, :, first:tokens], values[:, :, first:tokens], layer)
            cache.steps, self._step = 0, None
            if capacity is None:
                self._stay_eager(Message("reason.decoder.long"))
                return
            if step := self._decoder.find(self._key, capacity):
                step.cache.load(*layer_tensors(cache), tokens, old.starts)
                self._use(step)
                return
            expected = self._eager(cache, embeds, attention_mask)
            cache.crop(-1)
            self._record(cache, capacity, tokens, old.starts, embeds, expected)

    def _record(
        self, cache: DecodingCache, capacity: int, tokens: int, starts: Tensor, embeds: Tensor, expected: Tensor
    ) -> None:
        """Record the step, and use it from now on if it gives `expected` for `embeds` at position `tokens`."""
        if (lack := self._lacks_memory(cache, capacity)) is not None:
            self._stay_eager(lack)
            return
        began = time.perf_counter()
        try:
            static = self._decoder.static_cache(cache, capacity)
            static.load(*layer_tensors(cache), tokens, starts)
            static.position.fill_(tokens)
            assert self._decoder.record is not None
            step = RecordedStep(self._decoder.record(self._plain_step(static), embeds), static)
            agrees, reason = self._proof(step.run(embeds), expected)
            if agrees:
                self._decoder.keep(self._key, step)
                self._use(step, reason)
            else:
                self._stay_eager(reason)
        except EXPECTED as error:
            reason = Message("reason.decoder.failed", error=first_line(error))
            if not isinstance(error, torch.OutOfMemoryError):  # there may be more memory in the next run
                self._decoder.refused[self._key] = reason
            self._stay_eager(reason)
        finally:
            self.record_sec = (self.record_sec or 0.0) + time.perf_counter() - began

    def _plain_step(self, static: StaticCache) -> Step:
        model, device_type = self._model, static.position.device.type
        enabled, dtype = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)

        def step(embeds: Tensor) -> Tensor:
            # Copies of weights that autocast keeps would be freed at its end, and a graph would go on reading them.
            with torch.autocast(device_type, dtype, enabled=enabled, cache_enabled=False):
                hidden: Tensor = model.hidden_states(embeds, None, None, static)
            return hidden

        return step

    def _proof(self, found: Tensor, expected: Tensor) -> tuple[bool, Message]:
        """(whether the logits of `found` agree with those of `expected`, the reason for what follows)."""
        head = self._model.get_output_embeddings().forward  # not a call: whoever watches it waits for the run's tokens
        found, expected = head(found), head(expected)
        if not bool(expected.isfinite().all()):
            return False, Message("reason.decoder.not_finite")
        difference = float((found.float() - expected.float()).abs().max())
        bound = logits_bound(expected)
        shown = {"difference": f"{difference:.2g}", "bound": f"{bound:.2g}"}
        if difference <= bound:  # not so for NaN
            return True, Message("reason.decoder.graph", **shown)
        reason = Message("reason.decoder.deviates", **shown)
        self._decoder.refused[self._key] = reason
        return False, reason

    def _lacks_memory(self, cache: DecodingCache, capacity: int) -> Message | None:
        """Why the static cache does not fit; None where it does."""
        if not self._decoder.checks_memory:
            return None
        keys, values = layer_tensors(cache)
        device = keys[0].device.type
        free = free_bytes(device)
        if free is None:
            return None
        if device == "cuda":
            free += int(torch.cuda.memory_reserved()) - int(torch.cuda.memory_allocated())
        needed = sum(t[:, :, :1].nbytes for t in (*keys, *values)) * capacity
        if needed * MARGIN <= free:
            return None
        return Message("reason.decoder.memory", needed=joined(memory(needed)), free=joined(memory(free)))

    def _use(self, step: RecordedStep, reason: Message | None = None) -> None:
        self._step, self.way = step, GRAPH
        self.reason = reason or Message("reason.decoder.kept")

    def _stay_eager(self, reason: Sentence) -> None:
        self._step, self._tries = None, False
        self.way, self.reason = EAGER, reason


def logits_bound(logits: Tensor) -> float:
    """Largest difference from `logits` that a graph's may have, by the dtype that they were computed in."""
    return max(ABSOLUTE_BOUND, SPACINGS * torch.finfo(logits.dtype).eps * float(logits.abs().max()))


def _starts(embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(B, 1) index of each row's first token: batches are padded on the left."""
    if attention_mask is None:
        return torch.zeros((embeds.shape[0], 1), dtype=torch.long, device=embeds.device)
    return (attention_mask == 0).sum(-1, keepdim=True)
