"""The user's mistakes, each with its sentence in both languages.

UserError
    The one exception for something that the user can mend: a broken picture, an empty question, a strategy that
    does not exist. The page and the command line each turn it into text in exactly one place. Anything else that
    escapes is a bug and shows as one.
"""

from __future__ import annotations

from typing import Any

from xcomposer_ui.core.messages import MESSAGES


class UserError(Exception):
    """A mistake of the user's, in words the user can act on.

    `code` is a key of `messages.MESSAGES`; `facts` fill the sentence's placeholders. `str(error)` is the English
    sentence. Facts come from the user or are plain numbers: never a server path.

    Raises KeyError where `code` or a placeholder is unknown: that is a bug in the caller.
    """

    def __init__(self, code: str, **facts: Any) -> None:
        self.code = code
        self.facts = facts
        super().__init__(self.in_language("en"))

    def in_language(self, language: str) -> str:
        """The sentence in `language`: "en" or "zh"."""
        return MESSAGES[self.code][language].format(**self.facts)
