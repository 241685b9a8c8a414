"""Links that open a tab with its settings, or a place of the lesson: the page's own address with them in its query.

The server stores nothing, so a link is valid after a restart, and contains no picture: it can only name an example's.
Gradio's own deep links store the visitor's whole page, pictures included, in a folder that is emptied every day.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request, Setting, settings_of
from xcomposer_ui.core.settings import ASSETS, DEVICES, HALVES
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.finetuning.recipes import MISTAKES, OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.lesson.explorer import Calculation
from xcomposer_ui.lesson.step import Step
from xcomposer_ui.ui.compare_session import ComparisonRequest
from xcomposer_ui.ui.examples import Example, examples
from xcomposer_ui.ui.learn_handlers import FLOATS

MOST_LINKED = 2000
"""Characters of a question that a link carries."""

MOST_EXACT = 2**53
"""The browser's numbers are exact up to here; a larger seed would change."""

TRAINED = settings_of(FinetuningRequest)
COMPARED = (*settings_of(ComparisonSettings), *settings_of(Request, flagged=True))


def ask_link(request: Request, examples: Sequence[Example]) -> str:
    """The address of the Ask tab with `request` in it; the picture only where it is one of the examples."""
    return _link("ask", request, {"strategy": request.strategy, "half": request.half, **request.settings}, examples)


def ask_fields(
    query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example], record: type[Request] = Request
) -> dict[str, Any]:
    """The valid fields of the request in a link's `query`; empty where it is not a link to the Ask tab."""
    if "ask" not in query:
        return {}
    found = _fields("ask", query, settings_of(record), models, examples)
    return found | _chosen(query, strategy=STRATEGIES, half=HALVES)


def compare_link(comparison: ComparisonRequest, examples: Sequence[Example]) -> str:
    """The address of the Compare tab with `comparison` in it, as `ask_link`."""
    values = vars(comparison.settings) | comparison.question.settings
    chosen = {"halves": ",".join(comparison.settings.halves), **{s.name: values[s.name] for s in COMPARED}}
    return _link("compare", comparison.question, chosen, examples)


def compare_fields(query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example]) -> dict[str, Any]:
    """As `ask_fields`, for the Compare tab: fields of the request and of the comparison's settings."""
    if "compare" not in query:
        return {}
    found = _fields("compare", query, COMPARED, models, examples)
    halves = tuple(half for half in query.get("halves", "").split(",") if half in HALF_DTYPES)
    return found | ({"halves": halves} if halves else {})


def plan_link(model: str) -> str:
    """The address of the Plan tab with `model` chosen."""
    return _address({"plan": model})


def train_link(request: FinetuningRequest) -> str:
    """The address of the Train tab with `request` in it."""
    numbers = {s.name: getattr(request, s.name) for s in TRAINED}
    chosen = {"train": request.kind, "recipes": ",".join(request.recipes), "optimizer": request.optimizer}
    return _address({**chosen, **numbers, "device": request.device})


def train_fields(query: Mapping[str, str]) -> dict[str, Any]:
    """As `ask_fields`, for the Train tab: the fields of its request."""
    if "train" not in query:
        return {}
    recipes = tuple(name for name in query.get("recipes", "").split(",") if name in RECIPES | MISTAKES)
    chosen = {**query, "kind": query["train"]}
    return {
        **_numbers(query, TRAINED),
        **_chosen(chosen, kind=QUESTION_KINDS, optimizer=OPTIMIZERS, device=DEVICES),
        **({"recipes": recipes} if recipes else {}),
    }


def _link(tab: str, request: Request, chosen: Mapping[str, Any], examples: Sequence[Example]) -> str:
    asked = {tab: request.text[:MOST_LINKED], "example": example_name(request.file, examples)}
    return _address({**asked, **chosen, "model": request.model, "device": request.device})


def _address(settings: Mapping[str, Any]) -> str:
    """The page's address with `settings` in it, as far as they were chosen."""
    return "?" + urlencode({name: value for name, value in settings.items() if value is not None})


def _fields(
    tab: str, query: Mapping[str, str], settings: Sequence[Setting], models: Sequence[str], examples: Sequence[Example]
) -> dict[str, Any]:
    """The query's question and picture, its settings within their limits, its model and device where offered."""
    return {
        "text": query[tab][:MOST_LINKED],
        "file": example_file(query.get("example"), examples),
        **_numbers(query, settings),
        **_chosen(query, model=models, device=DEVICES),
    }


def _chosen(query: Mapping[str, str], **known: Container[str]) -> dict[str, str]:
    """The values in `query` that are among those known by their name."""
    return {name: query[name] for name, values in known.items() if name in query and query[name] in values}


def _numbers(query: Mapping[str, str], settings: Sequence[Setting]) -> dict[str, float]:
    """The settings in `query` that are numbers within their limits."""
    numbers = {s.name: s.parsed(query[s.name]) for s in settings if s.name in query}
    return {name: number for name, number in numbers.items() if number is not None and number <= MOST_EXACT}


def example_name(file: str | None, examples: Sequence[Example]) -> str | None:
    """The name of the example that `file` is; None for any other picture.

    Gradio stores a chosen example in a folder of its own; only the file's name stays the same.
    """
    name = Path(file).name if file else ""
    return name if name in _named(examples) else None


def example_file(name: str | None, examples: Sequence[Example]) -> str | None:
    """The path of the example called `name`; None where there is none."""
    return _named(examples).get(name or "")


def _named(examples: Sequence[Example]) -> dict[str, str]:
    return {Path(example.picture).name: example.picture for example in examples}


def calculation_link(calculation: Calculation) -> str:
    """The address of the explorer with `calculation` in it."""
    return _address({"learn": FLOATS, **vars(calculation)})


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
