"""The example pictures that ship with the app, read from `assets/examples/examples.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from xcomposer_ui.core.settings import ASSETS


@dataclass(frozen=True)
class Example:
    """A picture's path, a question about it, and the question's language ("en" or "zh").

    stress_exponent: the request's at which float16 answers it otherwise; None where none is known.
    """

    picture: str
    question: str
    language: str
    stress_exponent: int | None = None


def examples(folder: Path = ASSETS / "examples") -> tuple[Example, ...]:
    """The examples in `folder`, in their order; none where the folder has no list.

    Raises ValueError or KeyError where the list is malformed.
    """
    listed = folder / "examples.json"
    if not listed.is_file():
        return ()
    return tuple(
        Example(
            str(folder / entry["file"]), entry["question"], entry.get("language", "en"), entry.get("stress_exponent")
        )
        for entry in json.loads(listed.read_text(encoding="utf-8"))
    )


def by_picture(listed: tuple[Example, ...]) -> dict[str, tuple[Example, ...]]:
    """The examples about each picture, pictures and questions in their order."""
    pictures = dict.fromkeys(example.picture for example in listed)
    return {picture: tuple(example for example in listed if example.picture == picture) for picture in pictures}


def first_for(about: tuple[Example, ...], language: str) -> Example:
    """The first of the examples about a picture, preferably one in `language`."""
    return next((example for example in about if example.language == language), about[0])
