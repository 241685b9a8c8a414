"""Keeps the last conversations' prompts in their KV cache and their pictures' embeddings, for the next turn of each."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from torch import Tensor

from xcomposer_ui.models.xcomposer2.cache import RoomyCache
from xcomposer_ui.models.xcomposer2.turns import Turn, common_length

MOST = 2
"""Conversations kept: one visitor's, and another's who takes turns with them."""

MOST_BYTES = 2 << 30
"""Kept at most; a conversation that is larger alone is not kept."""

Arithmetic = tuple[str, str]
"""(strategy, half): what was computed under another one is of no use."""


@dataclass(frozen=True)
class Kept:
    """A prompt's keys and values: `cache` holds as many as `turn` is long."""

    arithmetic: Arithmetic
    turn: Turn
    cache: RoomyCache

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self.cache.nbytes + sum(picture.untyped_storage().nbytes() for picture in self.turn.pictures.values())


class Conversations:
    """For one model's weights. A turn takes its conversation out and puts it back longer, when it has gone well.

    Used by the thread that computes; `clear` by any.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: list[Kept] = []  # the one used last at the end
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

    def take(self, arithmetic: Arithmetic, turn: Turn) -> tuple[RoomyCache, int]:
        """(a cache that holds the first so many tokens of `turn`, how many): the longest there is, taken out."""
        with self._lock:
            best, length = None, 0
            for kept in self._kept:
                common = common_length(turn, kept.turn.positions, kept.turn.ends)
                if kept.arithmetic == arithmetic and common > length:
                    best, length = kept, common
            if best is None:
                return RoomyCache(), 0
            self._kept.remove(best)
        best.cache.keep(length)
        return best.cache, length

    def put(self, arithmetic: Arithmetic, turn: Turn, cache: RoomyCache, cleared: int) -> None:
        """Keep `turn`, whose keys and values `cache` begins with; the oldest go where there are too many.

        cleared: what `cleared` was as the turn began; what was let go since then is not kept after all.
        """
        cache.keep(turn.length)
        # The prompt's own embeddings are not needed again: the next turn brings its own.
        slim = Turn({}, turn.positions, turn.ends, turn.pictures)
        with self._lock:
            if cleared != self._cleared:
                return
            self._kept.append(Kept(arithmetic, slim, cache))
            while len(self._kept) > self._most or sum(kept.nbytes for kept in self._kept) > self._most_bytes:
                del self._kept[0]

    def clear(self) -> None:
        """Let all go."""
        with self._lock:
            self._kept.clear()
            self._cleared += 1
