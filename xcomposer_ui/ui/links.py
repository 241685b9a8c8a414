"""Links that restore a tab's settings: the page's own address with the settings in its query.

The server stores nothing, so a link is valid after a restart, and contains no picture: it can only name an example's.
Gradio's own deep links store the visitor's whole page, pictures included, in a folder that is emptied every day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.request import Request, Setting, settings_of
from xcomposer_ui.core.settings import DEVICES, HALVES
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.finetuning.recipes import MISTAKES, OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.ui.compare_session import ComparisonRequest
from xcomposer_ui.ui.examples import Example

MOST_LINKED = 2000
"""Characters of a question that a link carries."""

MOST_EXACT = 2**53
"""The browser's numbers are exact up to here; a larger seed would change."""

TRAINED = settings_of(FinetuningRequest)
COMPARED = (*settings_of(ComparisonSettings), *settings_of(Request, flagged=True))


def ask_link(request: Request, examples: Sequence[Example]) -> str:
    """The address of the Ask tab with `request` in it; the picture only where it is one of the examples."""
    chosen = {"strategy": request.strategy, **({"half": request.half} if request.half else {})}
    return _link("ask", request, chosen | request.settings, examples)


def ask_fields(
    query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example], record: type[Request] = Request
) -> dict[str, Any] | None:
    """The fields of the request in a link's `query`; None where it is not a link to the Ask tab.

    Invalid values are left out.
    """
    if "ask" not in query:
        return None
    found = _fields("ask", query, settings_of(record), models, examples)
    found |= {"strategy": query["strategy"]} if query.get("strategy") in STRATEGIES else {}
    return found | ({"half": query["half"]} if query.get("half") in HALVES else {})


def compare_link(comparison: ComparisonRequest, examples: Sequence[Example]) -> str:
    """The address of the Compare tab with `comparison` in it, as `ask_link`."""
    values = vars(comparison.settings) | comparison.question.settings
    chosen = {"halves": ",".join(comparison.settings.halves), **{s.name: values[s.name] for s in COMPARED}}
    return _link("compare", comparison.question, chosen, examples)


def compare_fields(
    query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example]
) -> dict[str, Any] | None:
    """As `ask_fields`, for the Compare tab: fields of the request and of the comparison's settings."""
    if "compare" not in query:
        return None
    found = _fields("compare", query, COMPARED, models, examples)
    halves = tuple(half for half in query.get("halves", "").split(",") if half in HALF_DTYPES)
    return found | ({"halves": halves} if halves else {})


def plan_link(model: str) -> str:
    """The address of the Plan tab with `model` chosen."""
    return "?" + urlencode({"plan": model})


def train_link(request: FinetuningRequest) -> str:
    """The address of the Train tab with `request` in it."""
    numbers = {s.name: getattr(request, s.name) for s in TRAINED}
    chosen = {"train": request.kind, "recipes": ",".join(request.recipes), "optimizer": request.optimizer}
    return "?" + urlencode(chosen | numbers | ({"device": request.device} if request.device else {}))


def train_fields(query: Mapping[str, str]) -> dict[str, Any] | None:
    """As `ask_fields`, for the Train tab: the fields of its request."""
    if "train" not in query:
        return None
    recipes = tuple(name for name in query.get("recipes", "").split(",") if name in RECIPES | MISTAKES)
    choices = (
        ("kind", query["train"], QUESTION_KINDS),
        ("optimizer", query.get("optimizer"), OPTIMIZERS),
        ("device", query.get("device"), DEVICES),
    )
    return {
        **_numbers(query, TRAINED),
        **{name: value for name, value, known in choices if value in known},
        **({"recipes": recipes} if recipes else {}),
    }


def _link(tab: str, request: Request, chosen: Mapping[str, Any], examples: Sequence[Example]) -> str:
    name = example_name(request.file, examples)
    return "?" + urlencode({
        tab: request.text[:MOST_LINKED],
        **({"example": name} if name else {}),
        **{name: value for name, value in chosen.items() if value is not None},
        **({"model": request.model} if request.model else {}),
        **({"device": request.device} if request.device else {}),
    })  # fmt: skip


def _fields(
    tab: str, query: Mapping[str, str], settings: Sequence[Setting], models: Sequence[str], examples: Sequence[Example]
) -> dict[str, Any]:
    """The query's question and picture, its settings within their limits, its model and device where offered."""
    return {
        "text": query[tab][:MOST_LINKED],
        "file": example_file(query.get("example"), examples),
        **_numbers(query, settings),
        **({"model": query["model"]} if query.get("model") in models else {}),
        **({"device": query["device"]} if query.get("device") in DEVICES else {}),
    }


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
