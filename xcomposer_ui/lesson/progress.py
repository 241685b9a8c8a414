"""A visitor's progress through the lesson, which only their browser keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xcomposer_ui.lesson.step import lesson

PLACE = "place"
"""The key of the place among the steps' names."""


@dataclass(frozen=True)
class Answer:
    """The first answer to a step, given before its run was seen. right: whether the run showed it to be."""

    choice: str
    right: bool


@dataclass(frozen=True)
class Progress:
    """The answers so far, by the steps' names. place: where the visitor is; it may be unknown, from another version."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    place: str = ""

    @classmethod
    def from_browser(cls, stored: Any) -> Progress:
        """The progress in `stored`, as `for_browser` made it; what is not an answer to a step is left out."""
        found: dict[str, Answer] = {}
        listed = stored if isinstance(stored, Mapping) else {}
        for step in lesson():
            entry = listed.get(step.name)
            if isinstance(entry, Mapping) and entry.get("choice") in step.choices:
                found[step.name] = Answer(entry["choice"], entry.get("right") is True)
        return cls(found, str(listed.get(PLACE) or ""))

    def for_browser(self) -> dict[str, Any]:
        """The progress in JSON's types."""
        return {PLACE: self.place} | {name: vars(answer) for name, answer in self.answers.items()}

    def with_answer(self, step: str, answer: Answer) -> Progress:
        """The progress with `answer`; an earlier answer to the step stays, because its run was seen since."""
        return self if step in self.answers else replace(self, answers={**self.answers, step: answer})

    @property
    def right(self) -> int:
        """How many steps were predicted correctly."""
        return sum(answer.right for answer in self.answers.values())
