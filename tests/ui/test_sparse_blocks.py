"""Steps of an event that change a part of its outputs."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from tests.ui.calls import awaited
from xcomposer_ui.ui.sparse_blocks import UNCHANGED, SparseBlocks


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the components that were made anew."""
    made: list[str] = []
    make = gr.Textbox.__init__

    def recorded(self: gr.Textbox, *args: Any, **properties: Any) -> None:
        made.append(str(properties.get("label")))
        make(self, *args, **properties)

    monkeypatch.setattr(gr.Textbox, "__init__", recorded)
    return made


def steps(kind: type[gr.Blocks], several: bool = True) -> tuple[list[Any], Any]:
    """(outputs, the function that gives what is sent for a step's values)."""
    with kind() as app:
        parts = [gr.Textbox(label=name) for name in ("a", "b", "c")] if several else [gr.JSON()]
        gr.Button().click(lambda: None, None, parts)
    [function] = app.fns.values()
    return parts, lambda given: awaited(app.postprocess_data(function, given, None))


def test_what_is_sent_is_what_gradio_sends() -> None:
    for given in ({0: "x"}, {2: "x", 0: gr.update(label="y")}, {1: gr.skip()}, {0: "x", 1: "y", 2: "z"}):
        sent = []
        for kind in (gr.Blocks, SparseBlocks):
            parts, step = steps(kind)
            sent.append(step({parts[n]: value for n, value in given.items()}))
        assert sent[0] == sent[1]


def test_a_component_that_a_step_leaves_alone_is_not_made_again(made: list[str]) -> None:
    parts, step = steps(SparseBlocks)
    made.clear()
    assert step({parts[1]: "x"}) == [UNCHANGED, "x", UNCHANGED]
    assert step({}) == [UNCHANGED] * 3
    assert not made
    step({parts[1]: gr.update(label="new")})
    assert made == ["new"]


def test_a_list_and_the_dict_that_is_a_single_outputs_value_pass_as_they_are() -> None:
    assert steps(SparseBlocks)[1](["x", "y", "z"]) == ["x", "y", "z"]
    for value in ({}, {"answer": 1}):
        [sent] = steps(SparseBlocks, several=False)[1](value)
        assert getattr(sent, "root", sent) == value


def test_a_foreign_component_is_the_programs_mistake() -> None:
    with pytest.raises(ValueError, match="not specified as output"):
        steps(SparseBlocks)[1]({gr.Textbox(): "x"})
