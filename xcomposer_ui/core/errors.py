"""`UserError`, the one exception for mistakes that the user can correct, and helpers for other exceptions."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.units import plain

LONGEST_LINE = 300
"""Characters of another library's message that are quoted in one of ours."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
"""Parts of the messages of device and host allocators, in lower case."""


class UserError(Exception):
    """Something that the user can correct: a broken picture, an empty question, an unknown strategy.

    `message` is `error.CODE` of the locales with its facts: what was found, and what to do. `str(error)` is the English
    sentence. Facts come from the user or are plain numbers, never a server path. The page and the command line each
    turn it into text in exactly one place; any other exception that escapes is a bug.

    Raises KeyError where `code` or a placeholder is unknown.
    """

    def __init__(self, code: str, **facts: Any) -> None:
        self.code = code
        self.facts = facts
        self.message = Message(f"error.{code}", **facts)
        super().__init__(self.in_language("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle their `args`, which is the sentence; the constructor takes code and facts instead.
        return partial(UserError, self.code, **self.facts), ()

    def in_language(self, language: str) -> str:
        return self.message.in_language(language)


def check_choice(name: str, value: object, known: Collection[str]) -> None:
    """Raise UserError where `value`, of the setting `name`, is none of the `known` ones."""
    if value not in known:
        raise UserError("unknown_setting", name=name, value=value, known=", ".join(known))


def check_range(name: str, value: float, lowest: float, highest: float, *, whole: bool = False) -> None:
    """Raise UserError where `value`, of the setting `name`, is not from `lowest` to `highest`, or is not `whole`."""
    if not lowest <= value <= highest:  # NaN is not
        raise UserError("out_of_range", name=name, value=plain(value), lowest=plain(lowest), highest=plain(highest))
    if whole and value != int(value):
        raise UserError("not_whole", name=name, value=plain(value))


def first_line(error: BaseException) -> str:
    """The first line of `error`'s message, cut to `LONGEST_LINE`; its class's name where it has no message."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:LONGEST_LINE]


def out_of_memory(failure_type: str | None, message: str) -> bool:
    """Whether a failure means that memory ran out, on the device or the host.

    failure_type: the exception's class name. message: its text.
    """
    if failure_type is not None and ("OutOfMemory" in failure_type or failure_type == "MemoryError"):
        return True
    return any(part in message.lower() for part in OUT_OF_MEMORY)
