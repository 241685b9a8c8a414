"""Links that restore the Ask tab's settings; the Compare tab's are tested with its page."""

from __future__ import annotations

from urllib.parse import parse_qsl

from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.links import ask_form, ask_link
from xcomposer_ui.ui.session import Form

EXAMPLES = (Example("/somewhere/trio.png", "What?", "en"), Example("/somewhere/trio.png", "什么？", "zh"))


def test_a_link_restores_the_form() -> None:
    form = Form('a & b="c"\n图', "/uploads/trio.png", "full", "bfloat16", "embedded", "cpu", 12, 0.5, 0.7, 1.2, 9, 24)
    query = dict(parse_qsl(ask_link(form, EXAMPLES)[1:]))
    restored = ask_form(query, ("embedded",), EXAMPLES)
    assert restored is not None
    assert restored.picture == "/somewhere/trio.png"
    assert vars(restored) == vars(form) | {"picture": restored.picture}


def test_tiles_that_nobody_chose_are_in_no_link() -> None:
    assert "hd_num" not in ask_link(Form("What?", None, "full"), EXAMPLES)


def test_a_visitors_own_picture_is_in_no_link() -> None:
    assert "holiday" not in ask_link(Form("What?", "/uploads/holiday.png", "full"), EXAMPLES)


def test_what_is_not_valid_is_left_out() -> None:
    bad = {"ask": "x", "strategy": "magic", "half": "float8", "max_new_tokens": "-1", "seed": "x", "model": "/etc",
           "device": "tpu", "example": "../../etc/passwd", "temperature": "nan", "top_p": "0",
           "hd_num": "97"}  # fmt: skip
    assert ask_form(bad, ("embedded",), EXAMPLES) == Form("x", None, "")
    assert ask_form({"compare": "x"}, ("embedded",), EXAMPLES) is None
