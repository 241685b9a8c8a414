"""A dry run, without storage: tower, projector, prompt, prefill and the last decoding step, in a run's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import strategy_autocast
from xcomposer_ui.backends.planning.configuration import pixel_size
from xcomposer_ui.backends.planning.fake_model import FakeModel
from xcomposer_ui.backends.planning.recording import REFILL, DtypeClash, Recorder, Recording
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.core.memory_timeline import DECODE, PREFILL, TOWER
from xcomposer_ui.core.strategies import HALF_DTYPES, Strategy
from xcomposer_ui.explain import explain
from xcomposer_ui.models.cache import CACHE_NAME, GROWTH, capacities_for
from xcomposer_ui.planning.plan import PlanRequest

LANGUAGE = "language"
"""The kind of layer that has a KV cache."""


@dataclass(frozen=True)
class DryRun(Recording):
    """The record of a dry run; its kept blocks are those of the KV cache.

    kv_cache_bytes: at the end of the answer, spare capacity included; 0 if the run failed before.
    static_cache_bytes: of the caches of fixed size that recorded decoding needs beside it.
    failed_in: the phase in which dtypes clash, or None.
    """

    kv_cache_bytes: int
    static_cache_bytes: int
    failed_in: str | None


def dry_run(fake: FakeModel, request: PlanRequest, strategy: Strategy, mode: FakeTensorMode) -> DryRun:
    """Run `request` under `strategy`; `fake` has weights of the strategy's dtype and was built under `mode`."""
    recorder, half = Recorder(), request.half
    steps = _Steps(fake, request, recorder, getattr(torch, strategy.image_dtype(half)))
    failed_in = None
    with mode, torch.no_grad(), strategy_autocast(strategy, half, "cpu"), fake.marked_layers(recorder), recorder:
        recorder.track_external(fake.model)
        recorder.events.clear()
        try:
            steps.run()
        except DtypeClash:
            failed_in = recorder.phase
        except RuntimeError as error:
            # Under autocast some operations refuse tensors of the other 16-bit dtype, fake or real.
            other_half = strategy.autocast and strategy.weights_dtype(half) in set(HALF_DTYPES) - {half}
            # Others check dtypes before they are dispatched.
            if not other_half and len(explain(f"RuntimeError: {error}").dtypes) < 2:
                raise
            failed_in = recorder.phase
        events = tuple(recorder.events)
    return DryRun(
        events,
        fake.repeats(),
        fake.weights_bytes,
        frozenset(steps.cache_blocks),
        kv_cache_bytes=steps.cache_bytes,
        static_cache_bytes=steps.static_cache_bytes(),
        failed_in=failed_in,
    )


class _Steps:
    """The steps of a dry run. It keeps references to the tensors that a real run keeps alive."""

    def __init__(self, fake: FakeModel, request: PlanRequest, recorder: Recorder, image_dtype: torch.dtype) -> None:
        self.fake, self.request, self.recorder, self.image_dtype = fake, request, recorder, image_dtype
        self.pixels = pixel_size(fake.config, request)
        self.prompt_tokens = 0
        self.cache: Any = None
        self.cache_bytes = self.token_bytes = 0
        self.cache_blocks: set[int] = set()

    def run(self) -> None:
        self.recorder.phase = TOWER if self.pixels else PREFILL
        prompt = self._prompt()
        self.recorder.phase = PREFILL
        scores = self._step(prompt)
        steps = self.request.new_tokens - 1  # the last token is never an input
        growths = steps // (GROWTH + 1)
        for growth in range(growths):
            self._lengthen(GROWTH)
            if growth < growths - 1:
                self._lengthen(1)
            else:
                scores = self._step(self._token())
        if left := steps - growths * (GROWTH + 1):
            self._lengthen(left - 1)
            scores = self._step(self._token())
        del scores

    def _prompt(self) -> Tensor:
        """Prompt embeddings (B, T, width), or ids (1, T) for one prompt without a picture."""
        batch, longest = self.request.batch, self.fake.config.max_prompt_tokens
        if self.pixels is None:
            self.prompt_tokens = min(self.request.prompt_tokens, longest)
            ids = torch.ones((batch, self.prompt_tokens), dtype=torch.long)
            return ids if batch == 1 else self._padded(self.fake.model.get_input_embeddings()(ids))
        pixels = torch.empty((1, 3, *self.pixels)).to(self.image_dtype)
        picture = self.fake.model.encode_image(pixels)
        if batch == 1:
            self._picture = picture  # kept for the conversation's next turn, which a batch does not have
        joined = self.fake.model.joined_embeddings([[1], [1] * (self.request.prompt_tokens - 1)], [picture])
        del picture
        embeds, self._im_mask = joined["inputs_embeds"], joined["im_mask"]
        tokens = self.fake.config.image_tokens_of(self.pixels)
        self.prompt_tokens = embeds.shape[1]
        self.recorder.image_positions = batch * min(tokens, self.prompt_tokens - 1)
        if batch == 1:
            return embeds
        # Pictures are encoded one after another: when the last one is, the other prompts are in memory.
        self._rows = embeds, embeds.new_empty((batch - 1, *embeds.shape[1:]))
        return self._padded(embeds)

    def _padded(self, row: Tensor) -> Tensor:
        """A batch's embeddings in one tensor, which `chat_batch` allocates in addition to each prompt's own."""
        shape = self.request.batch, self.prompt_tokens
        self._im_mask = torch.zeros(shape, dtype=torch.bool)
        return row.new_zeros((*shape, row.shape[2]))

    def _token(self) -> Tensor:
        self.recorder.phase = DECODE
        return torch.ones((self.request.batch, 1), dtype=torch.long)

    def _step(self, inputs: Tensor) -> Tensor:
        """One forward and the scores that `generate` computes; these stay alive until the next step ends."""
        embedded = inputs.is_floating_point()
        length = inputs.shape[1] + (0 if self.cache is None else self.cache.get_seq_length())
        padding = torch.ones((self.request.batch, length), dtype=torch.long) if self.request.batch > 1 else None
        output = self.fake.model(
            input_ids=None if embedded else inputs,
            inputs_embeds=inputs if embedded else None,
            im_mask=self._im_mask if embedded else None,
            attention_mask=padding,
            cache=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = output[CACHE_NAME]
        self._note_cache()
        scores: Tensor = output.logits[:, -1].to(torch.float32, copy=True)
        scores.argmax(-1)
        return scores

    def _lengthen(self, tokens: int) -> None:
        """The cache as after `tokens` more steps, all at once."""
        if not tokens:
            return
        self.recorder.phase = REFILL
        for n, layer in enumerate(self.cache.layers):
            self.recorder.layer = LANGUAGE, n
            new = (t.new_empty((*t.shape[:2], tokens, t.shape[3])) for t in (layer.keys, layer.values))
            self.cache.update(*new, n)
        self.recorder.layer = None
        self._note_cache()

    def _note_cache(self) -> None:
        tensors = [t for layer in self.cache.layers for t in (layer.keys, layer.values)]
        self.cache_blocks.update(self.recorder.block_of(t) for t in tensors)
        layer_bytes = sum(t.untyped_storage().nbytes() for t in tensors) // len(self.cache.layers)
        self.cache_bytes = layer_bytes * self.fake.layers[LANGUAGE]
        self.token_bytes = sum(t[:, :, :1].nbytes for t in tensors[:2]) * self.fake.layers[LANGUAGE]

    def static_cache_bytes(self) -> int:
        """Bytes of the static caches of a run of this size; 0 for a family without them."""
        if not self.fake.model.decodes_in_place:
            return 0
        longest = self.fake.config.max_position_embeddings
        return self.token_bytes * sum(capacities_for(self.prompt_tokens, self.request.new_tokens, longest))
