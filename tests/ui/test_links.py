"""Links that restore the Ask tab's settings; the Compare tab's are tested with its page."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from xcomposer_ui.core.request import Request
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.links import ask_fields, ask_link

EXAMPLES = (Example("/somewhere/trio.png", "What?", "en"), Example("/somewhere/trio.png", "什么？", "zh"))


def test_a_link_restores_the_form() -> None:
    request = Request(
        'a & b="c"\n图', file="/uploads/trio.png", strategy="full", half="bfloat16", model="embedded", device="cpu",
        max_new_tokens=12, temperature=0.5, top_p=0.7, repetition_penalty=1.2, seed=9, hd_num=24,
    )  # fmt: skip
    query = dict(parse_qsl(ask_link(request, EXAMPLES)[1:]))
    restored = ask_fields(query, ("embedded",), EXAMPLES)
    assert restored["file"] == "/somewhere/trio.png"
    assert Request(**restored) == replace(request, file=restored["file"])


def test_tiles_that_nobody_chose_are_in_no_link() -> None:
    assert "hd_num" not in ask_link(Request("What?", strategy="full"), EXAMPLES)


def test_a_visitors_own_picture_is_in_no_link() -> None:
    assert "holiday" not in ask_link(Request("What?", file="/uploads/holiday.png", strategy="full"), EXAMPLES)


def test_what_is_not_valid_is_left_out() -> None:
    bad = {"ask": "x", "strategy": "magic", "half": "float8", "max_new_tokens": "-1", "seed": "x", "model": "/etc",
           "device": "tpu", "example": "../../etc/passwd", "temperature": "nan", "top_p": "0",
           "hd_num": "97"}  # fmt: skip
    assert ask_fields(bad, ("embedded",), EXAMPLES) == {"text": "x", "file": None}
    assert ask_fields({"compare": "x"}, ("embedded",), EXAMPLES) == {}
