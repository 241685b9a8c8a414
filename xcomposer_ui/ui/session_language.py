"""The language that each visitor's page is in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MOST_VISITORS = 10_000
"""Sessions that are remembered; the least recently used one is dropped first."""


class SessionLanguages:
    """Session -> language, so that a run in progress follows the page when its visitor changes the language."""

    def __init__(self) -> None:
        self._chosen: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, visitor: str | None, language: str) -> None:
        """Record the language of `visitor`, Gradio's session hash; None (a call without a page) is ignored."""
        if visitor is None:
            return
        with self._lock:
            self._chosen[visitor] = language
            self._chosen.move_to_end(visitor)
            while len(self._chosen) > MOST_VISITORS:
                self._chosen.popitem(last=False)

    def spoken(self, visitor: str | None, at_first: str) -> Callable[[], str]:
        """A function that returns the current language of `visitor`'s page: `at_first` until another is chosen."""
        self.choose(visitor, at_first)
        return lambda: self._chosen.get(visitor or "", at_first)
