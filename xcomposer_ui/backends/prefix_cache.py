"""Keeps recent conversations' KV caches and picture embeddings, and reuses them for the next turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xcomposer_ui.backends.memory import Meter
from xcomposer_ui.core.request import Question
from xcomposer_ui.models.xcomposer2.cache import PreallocatedCache
from xcomposer_ui.models.xcomposer2.turns import PictureSource, PromptTurn, common_length, digest_of

MOST = 2
"""Conversations kept: one visitor's, and another's who takes turns with them."""

MOST_BYTES = 2 << 30
"""Kept at most; a conversation that is larger alone is not kept."""

Arithmetic = tuple[str, str]
"""(strategy, half): what was computed under another one is of no use."""


@dataclass(frozen=True)
class CachedPrefix:
    """A prompt's keys and values: `cache` holds as many as `turn` is long."""

    arithmetic: Arithmetic
    turn: PromptTurn
    cache: PreallocatedCache

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self.cache.nbytes + sum(picture.untyped_storage().nbytes() for picture in self.turn.pictures.values())


class PrefixCache:
    """For one model's weights. A turn takes its conversation out and puts it back longer, when it has gone well.

    Used by the thread that computes; `clear` by any.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: list[CachedPrefix] = []  # the one used last at the end
        self._cleared = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the kept ones hold."""
        with self._lock:
            return sum(kept.nbytes for kept in self._kept)

    @property
    def cleared(self) -> int:
        """How often all were let go; `put` wants it as it was when the turn began."""
        return self._cleared

    def picture(self, arithmetic: Arithmetic, digest: str) -> Tensor | None:
        """The picture's embeddings, where a kept conversation has them."""
        with self._lock:
            for kept in reversed(self._kept):
                if kept.arithmetic == arithmetic and digest in kept.turn.pictures:
                    return kept.turn.pictures[digest]
        return None

    def take(self, arithmetic: Arithmetic, turn: PromptTurn) -> tuple[PreallocatedCache, int]:
        """(a cache that holds the first so many tokens of `turn`, how many): the longest there is, taken out."""
        with self._lock:
            best, length = None, 0
            for kept in self._kept:
                common = common_length(turn, kept.turn.positions, kept.turn.ends)
                if kept.arithmetic == arithmetic and common > length:
                    best, length = kept, common
            if best is None:
                return PreallocatedCache(), 0
            self._kept.remove(best)
        best.cache.keep(length)
        return best.cache, length

    def put(self, arithmetic: Arithmetic, turn: PromptTurn, cache: PreallocatedCache, cleared: int) -> None:
        """Keep `turn`, whose keys and values `cache` begins with; the oldest go where there are too many.

        cleared: what `cleared` was as the turn began; what was let go since then is not kept after all.
        """
        cache.keep(turn.length)
        # The prompt's own embeddings are not needed again: the next turn brings its own.
        slim = PromptTurn({}, turn.positions, turn.ends, turn.pictures)
        with self._lock:
            if cleared != self._cleared:
                return
            self._kept.append(CachedPrefix(arithmetic, slim, cache))
            while len(self._kept) > self._most or sum(kept.nbytes for kept in self._kept) > self._most_bytes:
                del self._kept[0]

    def clear(self) -> None:
        """Let all go."""
        with self._lock:
            self._kept.clear()
            self._cleared += 1


class PromptReader:
    """One question's prompt and the cache that it is read into.

    A question without a history takes nothing from the conversations, so that its figures are those of a whole run;
    it only leaves its own there.

    prompt_tokens, reused_tokens: None until they are known. reused_picture: None where there is no picture.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        question: Question,
        arithmetic: Arithmetic,
        pixels: Callable[[], Tensor],
        conversations: PrefixCache,
    ) -> None:
        """pixels: makes the question's picture into pixels of the strategy's dtype."""
        self.cache = PreallocatedCache()
        self.prompt_tokens: int | None = None
        self.reused_tokens: int | None = None
        self.reused_picture: bool | None = None
        self._model, self._tokenizer, self._question = model, tokenizer, question
        self._arithmetic, self._pixels, self._conversations = arithmetic, pixels, conversations
        self._cleared = conversations.cleared
        self._taken_bytes = self._unused_bytes = 0
        self._turn: PromptTurn | None = None

    def read(self) -> dict[str, Tensor]:
        """The prompt as the model's inputs, all but its last piece in `cache`."""
        question, scene = self._question, None
        if question.image is not None:
            scene = PictureSource(
                digest_of(question.image, question.hd_num), lambda: self._model.encode_image(self._pixels())
            )
            self.reused_picture = False
        before = self._conversations.nbytes
        turn = self._model.next_turn(self._tokenizer, question.text, scene, question.history, self._kept_picture)
        self.cache, self.reused_tokens = self._conversations.take(self._arithmetic, turn)
        self._taken_bytes = self.cache.nbytes
        if self.reused_picture:
            self._taken_bytes += sum(p.untyped_storage().nbytes() for p in turn.pictures.values())
        self._unused_bytes = max(0, before - self._taken_bytes)
        self.prompt_tokens = turn.length
        self._model.read_pieces(turn, self.cache)
        self._turn = turn
        return turn.inputs

    def peak_bytes(self, meter: Meter) -> int | None:
        """The meter's peak, with what this run took from before it, and without what it left there."""
        return None if meter.peak_bytes is None else meter.peak_bytes + self.unseen_bytes(meter)

    def unseen_bytes(self, meter: Meter) -> int:
        """What to add to the meter's figures, below 0 for what to take out."""
        # The CPU's meter adds up what is allocated while it listens; the card's sees all that is there.
        return self._taken_bytes if meter.kind == "cpu_tensors" else -self._unused_bytes

    def close(self, keep: bool) -> None:
        """Leave the prompt to the conversations if `keep`, and let go of what it holds."""
        turn, cache = self._turn, self.cache
        self._turn, self.cache = None, PreallocatedCache()
        if keep and turn is not None:
            self._conversations.put(self._arithmetic, turn, cache, self._cleared)

    def _kept_picture(self, digest: str) -> Tensor | None:
        if not self._question.history:
            return None
        found = self._conversations.picture(self._arithmetic, digest)
        self.reused_picture = found is not None
        return found
