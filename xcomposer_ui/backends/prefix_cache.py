"""Keeps the KV caches and picture embeddings of recent conversations, and reuses them for the next turn."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import Arithmetic, ModelRun
from xcomposer_ui.backends.memory import Meter
from xcomposer_ui.core.request import tile_settings
from xcomposer_ui.models.cache import PreallocatedCache
from xcomposer_ui.models.turns import PromptTurn, common_length, digest_of

MOST = 2
"""Conversations kept, so that two visitors can take turns."""

MOST_BYTES = 2 << 30
"""Most bytes of all kept conversations together."""


@dataclass(frozen=True)
class CachedPrefix:
    """A prompt and its KV cache, of the same length."""

    arithmetic: Arithmetic
    turn: PromptTurn
    cache: PreallocatedCache

    @property
    def nbytes(self) -> int:
        """Bytes of the KV cache and the picture embeddings."""
        return self.cache.nbytes + sum(picture.untyped_storage().nbytes() for picture in self.turn.pictures.values())


class PrefixCache:
    """Recent conversations with one model. A turn removes its conversation and, if it succeeds, adds the longer one.

    `clear` may be called from any thread, the other methods from the thread that computes.
    cleared: how often `clear` was called; `put` needs the number from the start of the turn.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: list[CachedPrefix] = []  # least recently used first
        self.cleared = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all conversations."""
        with self._lock:
            return sum(kept.nbytes for kept in self._kept)

    def picture(self, arithmetic: Arithmetic, digest: str) -> Tensor | None:
        """The picture's embeddings, None if no kept conversation has them."""
        with self._lock:
            for kept in reversed(self._kept):
                if kept.arithmetic == arithmetic and digest in kept.turn.pictures:
                    return kept.turn.pictures[digest]
        return None

    def take(self, arithmetic: Arithmetic, turn: PromptTurn) -> tuple[PreallocatedCache, int]:
        """Remove and return (the longest KV cache of the first tokens of `turn`, number of those tokens)."""
        with self._lock:
            best, length = None, 0
            for kept in self._kept:
                common = common_length(turn, kept.turn.positions, kept.turn.ends)
                if kept.arithmetic == arithmetic and common > length:
                    best, length = kept, common
            if best is None:
                return PreallocatedCache(), 0
            self._kept.remove(best)
        best.cache.crop(length - best.cache.get_seq_length())
        return best.cache, length

    def put(self, arithmetic: Arithmetic, turn: PromptTurn, cache: PreallocatedCache, cleared: int) -> None:
        """Keep `turn` and its part of `cache`; beyond the limits, the least recently used conversations are removed.

        cleared: the value of `cleared` at the start of the turn; if it has changed since, nothing is kept.
        """
        cache.crop(min(0, turn.length - cache.get_seq_length()))
        # The prompt's own embeddings are not needed again: the next turn makes its own.
        slim = PromptTurn({}, turn.positions, turn.ends, turn.pictures)
        with self._lock:
            if cleared != self.cleared:
                return
            self._kept.append(CachedPrefix(arithmetic, slim, cache))
            while len(self._kept) > self._most or sum(kept.nbytes for kept in self._kept) > self._most_bytes:
                del self._kept[0]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.cleared += 1


class PromptReader:
    """Computes the part of a question's prompt that the prefix cache does not have.

    A question without a history reuses nothing, so that its figures are those of a whole run; its prompt is added.

    prompt_tokens, reused_tokens: None until they are known. reused_picture: None without a picture.
    """

    def __init__(self, run: ModelRun, prefixes: PrefixCache) -> None:
        self.cache = PreallocatedCache()
        self.prompt_tokens: int | None = None
        self.reused_tokens: int | None = None
        self.reused_picture: bool | None = None
        self._run, self._prefixes, self._arithmetic = run, prefixes, run.arithmetic_key
        self._cleared = prefixes.cleared
        self._taken_bytes = self._unused_bytes = 0
        self._turn: PromptTurn | None = None

    def read(self) -> dict[str, Tensor]:
        """The prompt as the model's inputs, all but its last piece in `cache`."""
        run, question, picture = self._run, self._run.question, None
        before = self._prefixes.nbytes
        if question.image is not None:
            digest = digest_of(question.image, tile_settings(question))
            picture = digest, self._embeddings(digest)
        turn = run.model.next_turn(run.tokenizer, question.text, picture, question.history)
        self.cache, self.reused_tokens = self._prefixes.take(self._arithmetic, turn)
        self._taken_bytes = self.cache.nbytes
        if self.reused_picture:
            self._taken_bytes += sum(p.untyped_storage().nbytes() for p in turn.pictures.values())
        self._unused_bytes = max(0, before - self._taken_bytes)
        self.prompt_tokens = turn.length
        run.model.read_pieces(turn, self.cache)
        self._turn = turn
        return turn.inputs

    def correction_bytes(self, meter: Meter) -> int:
        """Bytes to add to the meter's figures: reused memory counts, that of other conversations does not."""
        # The CPU's meter counts only allocations during the run; a card's counts all memory that is allocated.
        return self._taken_bytes if meter.kind == "cpu_tensors" else -self._unused_bytes

    def close(self, keep: bool) -> None:
        """Add the prompt to the prefix cache if `keep`, and release it here."""
        turn, cache = self._turn, self.cache
        self._turn, self.cache = None, PreallocatedCache()
        if keep and turn is not None:
            self._prefixes.put(self._arithmetic, turn, cache, self._cleared)

    @torch.no_grad()
    def _embeddings(self, digest: str) -> Tensor:
        """The picture's embeddings, which a conversation's next turn reuses."""
        run = self._run
        kept = self._prefixes.picture(self._arithmetic, digest) if run.question.history else None
        self.reused_picture = kept is not None
        if kept is not None:
            return kept
        computed: Tensor = run.model.encode_image(run.pixels())
        return computed
