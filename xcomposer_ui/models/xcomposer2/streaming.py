"""Helpers of `stream_chat`: a queue of the growing text, a stopping criterion, the caller's autocast in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from xcomposer_ui.models.answer import GrowingAnswer


class TextQueue:
    """A streamer for `generate` that puts the decoded text so far into a queue, and None at the end."""

    def __init__(self, answer: GrowingAnswer) -> None:
        self.texts: queue.Queue[str | None] = queue.Queue()
        self._answer = answer
        self._ids: list[int] | None = None

    def put(self, value: Tensor) -> None:
        if self._ids is None:  # `generate` passes the prompt first
            self._ids = []
            return
        self._ids += value.flatten().tolist()
        self.texts.put(self._answer.text(self._ids))

    def end(self) -> None:
        self.texts.put(None)


class StopWhenSet(StoppingCriteria):  # type: ignore[misc]
    """Ends `generate` after the token during which `event` was set."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.event.is_set(), dtype=torch.bool, device=input_ids.device)


def thread_surroundings(device_type: str) -> Callable[[], AbstractContextManager[None]]:
    """The caller's autocast, to be entered in another thread: torch keeps it per thread."""
    enabled, dtype = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    caching = torch.is_autocast_cache_enabled()

    @contextmanager
    def surroundings() -> Iterator[None]:
        with torch.autocast(device_type, dtype, enabled=enabled, cache_enabled=caching):
            yield

    return surroundings
