"""Which language each visitor's page speaks now."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MOST_VISITORS = 10_000
"""As many pages as are remembered; the one that was heard of longest ago goes first."""


class SessionLanguages:
    """A run is told the page's language when it begins; what it shows later is in the one that was chosen meanwhile."""

    def __init__(self) -> None:
        self._chosen: OrderedDict[str, str] = OrderedDict()
        self._changing = threading.Lock()

    def choose(self, visitor: str | None, language: str) -> None:
        """`visitor`: Gradio's session hash; None (a call without a page) is nobody."""
        if visitor is None:
            return
        with self._changing:
            self._chosen[visitor] = language
            self._chosen.move_to_end(visitor)
            while len(self._chosen) > MOST_VISITORS:
                self._chosen.popitem(last=False)

    def spoken(self, visitor: str | None, at_first: str) -> Callable[[], str]:
        """Called, it gives the language of `visitor`'s page at that moment; `at_first` until another is chosen."""
        self.choose(visitor, at_first)
        return lambda: self._chosen.get(visitor or "", at_first)
