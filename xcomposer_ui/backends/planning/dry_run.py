"""A run rehearsed without storage: tower, projector, prompt, prefill and the last decoding step, in the lab's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends.planning.allocation_recorder import DtypeClash, Event, Recorder
from xcomposer_ui.backends.planning.fake_model import FakeModel
from xcomposer_ui.backends.planning.kernels import scratch_bytes
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.core.memory_timeline import DECODE, PHASES, PREFILL, TOWER
from xcomposer_ui.core.strategies import HALF_DTYPES, Strategy
from xcomposer_ui.explain import explain
from xcomposer_ui.models.cache import CACHE_NAME, GROWTH

LANGUAGE = "language"
"""The kind of layer that has a KV cache."""

REFILL = "refill"
"""Between prefill and the last decoding step: the cache becomes as long as it will be. No moment of a real run."""


@dataclass(frozen=True)
class DryRunInputs:
    """pixels: (height, width) as the model's `preprocess` gives them, None for text only. text_tokens: beside the
    picture. new_tokens: of the answer, 1 or more. batch: prompts that are answered together."""

    pixels: tuple[int, int] | None
    text_tokens: int
    new_tokens: int
    batch: int = 1


@dataclass(frozen=True)
class DryRun:
    """What was seen. weights_bytes: of the whole model. events: in order, the repeated layers not yet repeated.

    repeats: kind of layer -> how often what the second one did is done in the whole model.

    kv_cache_bytes: at the end of the answer with the room ahead, 0 where it never came to that. cache_blocks: which
    blocks are the cache. failed_in: the phase in which dtypes clash, or None.
    """

    events: tuple[Event, ...]
    repeats: dict[str, int]
    weights_bytes: int
    kv_cache_bytes: int
    cache_blocks: frozenset[int]
    prompt_tokens: int
    failed_in: str | None


def dry_run(twin: FakeModel, scene: DryRunInputs, strategy: Strategy, half: str, mode: FakeTensorMode) -> DryRun:
    """Rehearse `scene` under `strategy`; `twin` has the strategy's weights and was built under `mode`."""
    recorder = Recorder()
    stage = _Stage(twin, scene, recorder, getattr(torch, strategy.image_dtype(half)))
    handles = twin.mark_layers(recorder)
    failed_in = None
    try:
        with mode, torch.no_grad(), _arithmetic(strategy, half), recorder:
            recorder.hold(twin.model)
            recorder.events.clear()
            try:
                stage.run()
            except DtypeClash:
                failed_in = recorder.phase
            except RuntimeError as error:
                # autocast refuses tensors of the other 16-bit dtype in some operations, fake or real.
                other_half = strategy.autocast and strategy.weights_dtype(half) in set(HALF_DTYPES) - {half}
                # Others check dtypes before they are dispatched.
                if not other_half and len(explain(f"RuntimeError: {error}").dtypes) < 2:
                    raise
                failed_in = recorder.phase
            events = tuple(recorder.events)
    finally:
        for handle in handles:
            handle.remove()
    return DryRun(
        events,
        twin.repeats(),
        twin.weights_bytes,
        stage.cache_bytes,
        frozenset(stage.cache_blocks),
        stage.prompt_tokens,
        failed_in,
    )


def _arithmetic(strategy: Strategy, half: str) -> AbstractContextManager[object]:
    if not strategy.autocast:
        return nullcontext()
    return torch.autocast("cpu", getattr(torch, half), cache_enabled=strategy.caches_weights)


class _Stage:
    """The run itself. What it holds on to, a real run holds on to."""

    def __init__(self, twin: FakeModel, scene: DryRunInputs, recorder: Recorder, image_dtype: torch.dtype) -> None:
        self.twin, self.scene, self.recorder, self.image_dtype = twin, scene, recorder, image_dtype
        self.prompt_tokens = 0
        self.cache: Any = None
        self.cache_bytes = 0
        self.cache_blocks: set[int] = set()

    def run(self) -> None:
        self.recorder.phase = TOWER if self.scene.pixels else PREFILL
        inputs = self._inputs()
        self.recorder.phase = PREFILL
        scores = self._step(inputs)
        steps = self.scene.new_tokens - 1  # the last token is never an input
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

    def _inputs(self) -> Tensor:
        """Prompt embeddings (B, T, width), or ids (1, T) for one prompt without a picture."""
        batch, longest = self.scene.batch, self.twin.config.max_prompt_tokens
        if self.scene.pixels is None:
            self.prompt_tokens = min(self.scene.text_tokens, longest)
            ids = torch.ones((batch, self.prompt_tokens), dtype=torch.long)
            return ids if batch == 1 else self._padded(self.twin.model.get_input_embeddings()(ids))
        pixels = torch.empty((1, 3, *self.scene.pixels)).to(self.image_dtype)
        picture = self.twin.model.encode_image(pixels)
        if batch == 1:
            self._picture = picture  # a run keeps it for the conversation's next turn; a batch has none
        joined = self.twin.model.joined_embeddings([[1], [1] * (self.scene.text_tokens - 1)], [picture])
        del picture
        embeds, self._im_mask = joined["inputs_embeds"], joined["im_mask"]
        tokens = self.twin.config.image_tokens_of(self.scene.pixels)
        self.prompt_tokens = embeds.shape[1]
        self.recorder.image_positions = batch * min(tokens, self.prompt_tokens - 1)
        if batch == 1:
            return embeds
        # Pictures go through the tower one after another; the prompts before the last one are there already.
        self._rows = embeds, embeds.new_empty((batch - 1, *embeds.shape[1:]))
        return self._padded(embeds)

    def _padded(self, row: Tensor) -> Tensor:
        """A batch's embeddings in one tensor, as `chat_batch` makes it beside each prompt's own."""
        shape = self.scene.batch, self.prompt_tokens
        self._im_mask = torch.zeros(shape, dtype=torch.bool)
        return row.new_zeros((*shape, row.shape[2]))

    def _token(self) -> Tensor:
        self.recorder.phase = DECODE
        return torch.ones((self.scene.batch, 1), dtype=torch.long)

    def _step(self, inputs: Tensor) -> Tensor:
        """One forward and what `generate` makes of its logits; the float32 scores live on into the next step."""
        embedded = inputs.is_floating_point()
        length = inputs.shape[1] + (0 if self.cache is None else self.cache.get_seq_length())
        padding = torch.ones((self.scene.batch, length), dtype=torch.long) if self.scene.batch > 1 else None
        output = self.twin.model(
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
        held = [t for layer in self.cache.layers for t in (layer.keys, layer.values)]
        self.cache_blocks.update(self.recorder.block_of(t) for t in held)
        each = sum(t.untyped_storage().nbytes() for t in held) // len(self.cache.layers)
        self.cache_bytes = each * self.twin.layers[LANGUAGE]


def repeated(rehearsal: DryRun) -> Iterator[Event]:
    """The whole model's events: what the middle one of three kept layers did, as often as there are layers."""
    for layer, run in groupby(rehearsal.events, key=lambda event: event.layer):
        if layer is not None and layer[1] == 1:
            again = tuple(run)
            for _ in range(rehearsal.repeats[layer[0]]):
                yield from again
        else:
            yield from run


@dataclass(frozen=True)
class Peak:
    """The most that is live at once in a phase, weights left out, and how much of that is KV cache."""

    live_bytes: int
    cache_bytes: int


def peaks(rehearsal: DryRun, *, scratch: bool, size: Callable[[int], int] = int) -> dict[str, Peak]:
    """Phase -> its peak, for the whole model. scratch: whether the scratch memory of CPU kernels counts.

    size: bytes asked for to bytes counted.
    """
    live = cache = 0
    highest: dict[str, Peak] = {}
    for event in repeated(rehearsal):
        change = size(event.bytes) if event.bytes > 0 else -size(-event.bytes)
        live += change
        if event.block in rehearsal.cache_blocks:
            cache += change
        inside = scratch_bytes(event.kernel) if scratch and event.kernel else 0
        before = highest.get(event.phase)
        if event.phase in PHASES and (before is None or live + inside > before.live_bytes):
            highest[event.phase] = Peak(live + inside, cache)
    return highest
