"""How a run comes by its prompt: what its conversation kept is taken, the rest is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from xcomposer_ui.backends.conversations import Arithmetic, Conversations
from xcomposer_ui.backends.memory import Meter
from xcomposer_ui.models.xcomposer2.cache import RoomyCache
from xcomposer_ui.models.xcomposer2.turns import Scene, Turn, digest_of
from xcomposer_ui.records import Question


class Opening:
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
        conversations: Conversations,
    ) -> None:
        """pixels: makes the question's picture into pixels of the strategy's dtype."""
        self.cache = RoomyCache()
        self.prompt_tokens: int | None = None
        self.reused_tokens: int | None = None
        self.reused_picture: bool | None = None
        self._model, self._tokenizer, self._question = model, tokenizer, question
        self._arithmetic, self._pixels, self._conversations = arithmetic, pixels, conversations
        self._cleared = conversations.cleared
        self._taken_bytes = self._unused_bytes = 0
        self._turn: Turn | None = None

    def read(self) -> dict[str, Tensor]:
        """The prompt as the model's inputs, all but its last piece in `cache`."""
        question, scene = self._question, None
        if question.image is not None:
            scene = Scene(digest_of(question.image, question.hd_num), lambda: self._model.encode_image(self._pixels()))
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
        self._turn, self.cache = None, RoomyCache()
        if keep and turn is not None:
            self._conversations.put(self._arithmetic, turn, cache, self._cleared)

    def _kept_picture(self, digest: str) -> Tensor | None:
        if not self._question.history:
            return None
        found = self._conversations.picture(self._arithmetic, digest)
        self.reused_picture = found is not None
        return found
