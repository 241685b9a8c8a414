"""Links of the lesson: to a step, to a calculation of the explorer, and from a step to the tab that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.lesson.explorer import Calculation
from xcomposer_ui.lesson.step import Step
from xcomposer_ui.ui.compare_session import ComparisonRequest
from xcomposer_ui.ui.examples import examples
from xcomposer_ui.ui.learn_handlers import FLOATS
from xcomposer_ui.ui.links import ask_link, compare_link, plan_link, train_link


def calculation_link(calculation: Calculation) -> str:
    """The address of the explorer with `calculation` in it."""
    return "?" + urlencode(
        {"learn": FLOATS, "first": calculation.first, "operation": calculation.operation, "second": calculation.second}
    )


def calculation_linked(query: Mapping[str, str]) -> Calculation | None:
    """The calculation in a link's `query`; None where it has none that is valid."""
    try:
        return Calculation(query["first"], query.get("operation", ""), query.get("second", ""))
    except (KeyError, UserError):
        return None


def step_link(step: Step) -> str:
    """The address that `step` opens: the run, the comparison, the plan or the calculation that it is about."""
    if step.opens == "floats":
        return calculation_link(Calculation(*step.calculation))
    if step.opens == "compare":
        settings = ComparisonSettings(halves=HALF_DTYPES)
        return compare_link(ComparisonRequest(_question(step), settings, False), examples())
    if step.opens == "train":
        recipes = step.parameters["unscaled"], step.parameters["scaled"]
        return train_link(FinetuningRequest(recipes=recipes))
    return plan_link(step.parameters["model"]) if step.opens == "plan" else ask_link(_question(step), examples())


def _question(step: Step) -> Request:
    """The request of the step's run, its last one where there are several."""
    runs: list[Mapping[str, Any]] = [step.parameters, *step.parameters.get("runs", {}).values()]
    run = runs[-1]
    chosen = {name: value for name, value in run.items() if name not in ("picture", "question", "runs")}
    return Request(step.parameters["question"], file=str(ASSETS / "examples" / step.parameters["picture"]), **chosen)
