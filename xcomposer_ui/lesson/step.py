"""The lesson's steps, one JSON file each in `steps/`: a question, an experiment, and what each answer predicts.

An answer is right where its prediction holds of the figures that the experiment measured, so that no right answer is
written down for a machine or a model on which it would be wrong. `expected` is the answer that holds for the embedded
model; a test runs every step and compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

STEPS = Path(__file__).resolve().parent / "steps"

Fact = str | bool | float | None
"""A figure as an experiment gives it; None where it was not measured. The unit is in its name."""

Figures = Mapping[str, Fact]

TESTS = ("equals", "at_least", "at_most", "starts_with")
"""What a prediction can say of a figure."""


@dataclass(frozen=True)
class Prediction:
    """What has to hold of one figure for an answer to be right."""

    figure: str
    test: str
    value: Fact

    def holds(self, figures: Figures) -> bool:
        """Whether it holds; of a figure that was not measured only that it equals null can."""
        measured = figures.get(self.figure)
        if self.test == "equals":
            return measured == self.value
        if self.test == "starts_with":
            return isinstance(measured, str) and measured.startswith(str(self.value))
        if not isinstance(measured, (int, float)) or not isinstance(self.value, (int, float)):
            return False
        return measured >= self.value if self.test == "at_least" else measured <= self.value


@dataclass(frozen=True)
class Step:
    """One step of the lesson.

    name: that of its file, without its number; the locales have its texts as `lesson.NAME.*`.
    experiment: a name of `experiments.EXPERIMENTS`. parameters: of it.
    choices: answer -> its predictions, of which all have to hold. An answer without any is never right: it names what
    a run on one machine cannot decide.
    expected: the right answer for the embedded model.
    opens: what the step's link opens: "ask", "compare", "plan", "train" or "floats". calculation:
    that the last of them shows.
    """

    name: str
    experiment: str
    parameters: Mapping[str, Any]
    choices: Mapping[str, tuple[Prediction, ...]]
    expected: str
    opens: str
    calculation: tuple[str, ...]

    def right(self, figures: Figures) -> str | None:
        """The answer that holds of `figures`; None where none does, or more than one."""
        holding = [
            choice
            for choice, predictions in self.choices.items()
            if predictions and all(prediction.holds(figures) for prediction in predictions)
        ]
        return holding[0] if len(holding) == 1 else None


@cache
def lesson(folder: Path = STEPS) -> tuple[Step, ...]:
    """The steps of `folder` in the order of their files' names. Raises ValueError where one is malformed."""
    return tuple(_read(file) for file in sorted(folder.glob("*.json")))


def step_named(name: str) -> Step | None:
    """The lab's step called `name`; None where there is none."""
    return next((step for step in lesson() if step.name == name), None)


def _read(file: Path) -> Step:
    number, _, name = file.stem.partition("_")
    written = json.loads(file.read_text(encoding="utf-8"))
    missing = {"experiment", "choices", "expected", "opens"} - set(written)
    if missing or not number.isdigit():
        raise ValueError(f"{file.name}: {', '.join(sorted(missing)) or 'a number in front of the name'} is missing")
    choices = {choice: tuple(map(_prediction, listed)) for choice, listed in written["choices"].items()}
    if not choices.get(written["expected"]):
        raise ValueError(f"{file.name}: the expected answer {written['expected']!r} is no choice with a prediction")
    return Step(
        name, written["experiment"], written.get("parameters", {}), choices, written["expected"], written["opens"],
        tuple(written.get("calculation", ("0.1",))),
    )  # fmt: skip


def _prediction(written: Mapping[str, Fact]) -> Prediction:
    """A prediction written as {"figure": "runs", "at_least": 2}."""
    (test,) = [key for key in written if key != "figure"]
    if test not in TESTS:
        raise ValueError(f"{test!r} is none of {', '.join(TESTS)}")
    return Prediction(str(written["figure"]), test, written[test])
