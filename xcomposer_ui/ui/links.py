"""Links that restore a tab's settings: the page's own address with the settings in its query.

Nothing of it is kept on the server, so a link outlives a restart and shows nobody's picture: of pictures it names the
examples alone. (Gradio's own deep link would store the visitor's whole page, pictures included, in a folder that is
emptied after a day.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from xcomposer_ui.core.request import MOST_TILES
from xcomposer_ui.core.settings import DEVICES, HALVES
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.ui.compare_session import CompareForm
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.session import Form

MOST_LINKED = 2000
"""Characters of a question that a link carries."""

Limits = tuple[tuple[str, Callable[[str], float], float, float], ...]
"""(field, its type, lowest, highest): as far as the tabs' own controls go."""

ASKED: Limits = (
    ("max_new_tokens", int, 1, 1024), ("temperature", float, 0, 2), ("top_p", float, 0.05, 1),
    ("repetition_penalty", float, 1, 2), ("seed", int, 0, 2**53), ("hd_num", int, 1, MOST_TILES),
)  # fmt: skip
COMPARED: Limits = (
    ("repeats", int, 1, 10), ("max_new_tokens", int, 1, 1024), ("temperature", float, 0, 2), ("seed", int, 0, 2**53),
    ("hd_num", int, 1, MOST_TILES),
)  # fmt: skip


def ask_link(form: Form, examples: Sequence[Example]) -> str:
    """The address of the Ask tab with `form` in it; the picture only where it is one of the examples."""
    chosen = {"strategy": form.strategy, **({"half": form.half} if form.half else {})}
    return _link("ask", form, chosen, ASKED, examples)


def ask_form(query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example]) -> Form | None:
    """The form that a link's query restores; None where it is no such link. What is not a valid value is left out.

    strategy: "" where the link names none.
    """
    if "ask" not in query:
        return None
    strategy = query.get("strategy", "")
    return Form(
        query["ask"][:MOST_LINKED],
        _picture(query, examples),
        strategy if strategy in STRATEGIES else "",
        half=query["half"] if query.get("half") in HALVES else None,
        **_valid(query, models, ASKED),
    )


def compare_link(form: CompareForm, examples: Sequence[Example]) -> str:
    """The address of the Compare tab with `form` in it, as `ask_link`."""
    return _link("compare", form, {"halves": ",".join(form.halves)}, COMPARED, examples)


def compare_form(query: Mapping[str, str], models: Sequence[str], examples: Sequence[Example]) -> CompareForm | None:
    """As `ask_form`, for the Compare tab."""
    if "compare" not in query:
        return None
    form = CompareForm(query["compare"][:MOST_LINKED], _picture(query, examples))
    halves = tuple(half for half in query.get("halves", "").split(",") if half in HALF_DTYPES)
    return replace(form, halves=halves, **_valid(query, models, COMPARED))


def _link(
    tab: str, form: Form | CompareForm, chosen: Mapping[str, str], limits: Limits, examples: Sequence[Example]
) -> str:
    # The page keeps an example that was chosen in a folder of its own: the name is what they have in common.
    name = Path(form.picture).name if form.picture else ""
    return "?" + urlencode({
        tab: form.question[:MOST_LINKED],
        **({"example": name} if name in _named(examples) else {}),
        **chosen,
        **{field: value for field, *_ in limits if (value := getattr(form, field)) is not None},
        **({"model": form.model} if form.model else {}),
        **({"device": form.device} if form.device else {}),
    })  # fmt: skip


def _picture(query: Mapping[str, str], examples: Sequence[Example]) -> str | None:
    return _named(examples).get(query.get("example", ""))


def _named(examples: Sequence[Example]) -> dict[str, str]:
    return {Path(example.picture).name: example.picture for example in examples}


def _valid(query: Mapping[str, str], models: Sequence[str], limits: Limits) -> dict[str, Any]:
    """The query's numbers within `limits`, its model and device where they are offered."""
    found: dict[str, Any] = {}
    for field, kind, lowest, highest in limits:
        value = _number(query.get(field, ""), kind)
        if value is not None and lowest <= value <= highest:
            found[field] = value
    found |= {"model": query["model"]} if query.get("model") in models else {}
    return found | ({"device": query["device"]} if query.get("device") in DEVICES else {})


def _number(text: str, kind: Callable[[str], float]) -> float | None:
    try:
        return kind(text)
    except ValueError:
        return None
