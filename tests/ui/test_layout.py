"""What the page is built of, without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.ui.examples import Example, by_picture, examples, first_for
from xcomposer_ui.ui.html import COLOURED
from xcomposer_ui.ui.layout import Head, build_app
from xcomposer_ui.ui.localization import Localization
from xcomposer_ui.ui.serve import STYLE


def config(settings: Settings) -> str:
    app, _ = build_app(settings, ScriptedRunner())  # type: ignore[arg-type]  # the double has the interface
    return json.dumps(app.get_config_file(), default=str, ensure_ascii=False)


@pytest.mark.slow
def test_the_page_is_built_without_torch() -> None:
    code = "import sys, xcomposer_ui.ui.serve; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_a_fixed_language_is_there_from_the_first_byte() -> None:
    page = config(Settings(language="zh"))
    assert text("strategy", "zh") in page
    assert text("strategy", "en") not in page


def test_otherwise_the_browser_chooses() -> None:
    app, i18n = build_app(Settings(), ScriptedRunner())  # type: ignore[arg-type]
    assert i18n.translations_dict["zh"]["run"] == text("run", "zh")
    assert "translation_metadata" in json.dumps(app.get_config_file(), default=str)


def test_a_chosen_language_is_kept_over_the_browsers_but_not_over_the_settings() -> None:
    for setting, kept, first in (
        ("auto", "zh", "zh"), ("auto", None, "en"), ("auto", {"no": "language"}, "en"), ("en", "zh", "en"),
    ):  # fmt: skip
        with gr.Blocks():
            head = Head(Localization(setting), Settings(language=setting), ScriptedRunner())  # type: ignore[arg-type]
        assert head.first_language(kept, "en-US") == first


def test_what_is_known_of_the_machine_is_said_in_the_page_s_language() -> None:
    """The timer ticks while the switch still shows its first value."""
    app, _ = build_app(Settings(), ScriptedRunner())  # type: ignore[arg-type]
    events = {function.name: function for function in app.fns.values()}
    loaded, ticked = events["initial_page"], events["machine_known"]
    visitor = SimpleNamespace(session_hash="a", query_params={})
    assert "language" not in {part.elem_id for part in ticked.inputs}
    loaded.fn("zh-CN", None, "", None, None, visitor, *(part.value for part in loaded.inputs[5:]))  # type: ignore[misc]
    shown = {part.elem_id: value for part, value in ticked.fn(False, visitor).items()}  # type: ignore[misc]
    assert text("head.why", "zh") in shown["head-line"]


def test_the_page_offers_the_settings_models() -> None:
    assert "org/some-model" in config(Settings(model="org/some-model"))


def test_auto_is_in_the_page_s_language_wherever_it_is_a_choice() -> None:
    page = json.loads(config(Settings(language="zh")))
    offered = [choice for part in page["components"] for choice in part["props"].get("choices") or ()]
    assert {label for label, value in offered if value == "auto"} == {text("choice.auto", "zh")}


def test_no_row_of_tabs_is_empty() -> None:
    """An update that is written as a component while the page is built becomes a part of it, and breaks it."""
    page = json.loads(config(Settings(language="en")))
    types = {component["id"]: component["type"] for component in page["components"]}

    def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
        children = node.get("children") or []
        return [node, *(below for child in children for below in nodes(child))]

    rows = [node for node in nodes(page["layout"]) if types.get(node["id"]) == "tabs"]
    assert len(rows) == 2
    assert all(node["children"] for node in rows)


def test_every_dtype_has_its_colour_in_light_and_dark() -> None:
    style = STYLE.read_text("utf-8")
    for dtype in COLOURED:
        assert style.count(f"--xl-{dtype}:") == 2
        assert f".xl-{dtype} i" in style


@pytest.mark.parametrize(("language", "word"), [("en", "darker"), ("zh", "深色部分"), ("zh", "颜色越深")])
def test_no_part_of_a_chart_is_called_dark(language: str, word: str) -> None:
    """In the dark theme it is the brighter one."""
    assert not [code for code, sentence in sentences(language).items() if word in sentence]


def test_the_style_sheet_asks_nothing_of_the_network() -> None:
    style = STYLE.read_text("utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_examples_are_read_in_order(tmp_path: Path) -> None:
    entries = [
        {"file": "a.png", "question": "q", "language": "en"},
        {"file": "b.png", "question": "问", "language": "zh"},
    ]
    (tmp_path / "examples.json").write_text(json.dumps(entries), "utf-8")
    assert [(Path(e.picture).name, e.question, e.language) for e in examples(tmp_path)] == [
        ("a.png", "q", "en"),
        ("b.png", "问", "zh"),
    ]


def test_a_picture_is_shown_once_with_all_its_questions() -> None:
    listed = (Example("a", "one", "en"), Example("b", "two", "en"), Example("a", "三", "zh"))
    assert list(by_picture(listed)) == ["a", "b"]
    about = by_picture(listed)["a"]
    assert (first_for(about, "en").question, first_for(about, "zh").question) == ("one", "三")
    assert first_for(by_picture(listed)["b"], "zh").question == "two"


def test_no_list_means_no_examples(tmp_path: Path) -> None:
    assert examples(tmp_path) == ()


def test_the_examples_that_ship_are_there() -> None:
    shipped = examples()
    assert shipped
    assert all(Path(example.picture).is_file() and example.question for example in shipped)
