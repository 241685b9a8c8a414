"""The caller of long work, who may have left before its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

from xcomposer_ui.core.errors import UserError

Gone = Callable[[], bool]
"""Whether nobody waits for the work any more; asked again and again."""

Event = TypeVar("Event")


def stays() -> bool:
    """The answer of a caller that waits until the end: it is not gone."""
    return False


def while_wanted(events: Generator[Event, None, Any], gone: Gone) -> Generator[Event, None, None]:
    """Yield `events`. Raises UserError, with `events` closed, at the first of them for which the caller is `gone`."""
    with closing(events):
        for event in events:
            if gone():
                raise UserError("given_up")
            yield event
