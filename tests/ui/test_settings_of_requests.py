"""A setting is one field of Request: one that is added here shows up on every face, with its limits."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
import pytest

from tests.planning.scripted import ScriptedPlans
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.cli.request_arguments import add_request_arguments
from xcomposer_ui.compare.document import question_as_json
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.jsonl import Line, request_of
from xcomposer_ui.core.request import Request, setting, settings_of
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.ui.ask_form import AskForm
from xcomposer_ui.ui.endpoints import setting_parameters
from xcomposer_ui.ui.links import ask_fields, ask_link
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.preflight import preflight


@dataclass(frozen=True)
class Warmer(Request):
    """A request with one more setting."""

    min_p: float = setting(0.1, lowest=0, highest=0.5, step=0.01, flag="--min-p", help="drop less likely tokens")


def ask_controls(record: type[Request]) -> AskForm:
    with gr.Blocks():
        runner = ScriptedRunner()
        checks = preflight(runner, ScriptedPlans())  # type: ignore[arg-type]  # the doubles have the interfaces
        return AskForm(Page(Localization("en"), Settings(), runner, checks, gr.Radio(["en", "zh"])), record)  # type: ignore[arg-type]


def test_the_command_line_has_its_flag() -> None:
    parser = argparse.ArgumentParser()
    add_request_arguments(parser, record=Warmer)
    assert parser.parse_args([]).min_p == 0.1
    assert parser.parse_args(["--min-p", "0.25"]).min_p == 0.25
    assert "drop less likely tokens" in parser.format_help()


def test_the_page_has_its_control_and_reads_it() -> None:
    form = ask_controls(Warmer)
    slider = form.numbers["min_p"]
    assert (slider.minimum, slider.maximum, slider.step, slider.value) == (0, 0.5, 0.01, 0.1)
    values = [None if name != "min_p" else 0.25 for name in form.controls]
    assert form.fields("upload", None, *values)["min_p"] == 0.25


def test_a_jsonl_line_and_a_report_have_its_field() -> None:
    request, _ = request_of(Line(1, '{"question": "What?", "min_p": 0.25}'), Path(), {}, Warmer)
    assert isinstance(request, Warmer)
    assert request.min_p == question_as_json(request)["min_p"] == 0.25
    with pytest.raises(UserError, match="min_p"):
        request_of(Line(1, '{"question": "What?", "min_p": "much"}'), Path(), {}, Warmer)


def test_a_link_carries_and_restores_it() -> None:
    query = dict(parse_qsl(ask_link(Warmer("What?", min_p=0.25), ())[1:]))
    assert query["min_p"] == "0.25"
    restored = ask_fields(query, (), (), Warmer)
    assert restored["min_p"] == 0.25
    beyond = ask_fields({**query, "min_p": "0.6"}, (), (), Warmer)
    assert beyond["text"] == "What?" and "min_p" not in beyond


def test_an_endpoint_has_its_argument_before_anyway() -> None:
    names = [parameter.name for parameter in setting_parameters(Warmer)]
    assert names == ["max_new_tokens", "seed", "temperature", "min_p", "hd_num", "stress_exponent"]


@pytest.mark.parametrize("value", [-0.1, 0.6, float("nan")])
def test_its_range_is_checked_where_the_request_is_made(value: float) -> None:
    with pytest.raises(UserError, match="min_p"):
        Warmer("What?", min_p=value)


def test_the_page_and_the_command_line_have_the_limits_that_are_checked() -> None:
    parser = argparse.ArgumentParser()
    add_request_arguments(parser)
    controls = ask_controls(Request).numbers
    for s in settings_of(Request):
        control = controls[s.name]
        assert control.value == (s.default or 0)
        if s.step is not None:
            assert (control.minimum, control.maximum) == (s.lowest, s.highest)
        if s.flag is not None:
            assert parser.get_default(s.name) == s.default
        for value in (s.lowest, s.highest):
            Request("What?", **{s.name: value})


def test_a_whole_number_is_a_float_where_the_setting_is_one() -> None:
    request = Request("What?", temperature=2, seed=3)
    assert isinstance(request.temperature, float) and isinstance(request.seed, int)
