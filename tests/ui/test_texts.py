"""The page's texts: both languages whole, and none unused."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import xcomposer_ui.ui
from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.localization import language_of
from xcomposer_ui.ui.reasons import REASONS, reason


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", sentences("en"))
def test_both_languages_say_the_same_facts(key: str) -> None:
    english, chinese = (sentences(language)[key] for language in ("en", "zh"))
    assert english.strip() and chinese.strip()
    assert placeholders(english) == placeholders(chinese)


def test_chinese_is_chinese() -> None:
    """Only names are the same in both: of a setting, of file formats, of an error's own wording."""
    same = {key for key, english in sentences("en").items() if sentences("zh")[key] == english}
    formats = {"compare.report.md", "compare.report.json", "compare.report.csv", "compare.report.jsonl"}
    assert same - formats == {"chat.thinking", "top_p", "explain.placeholder"}


def test_no_view_writes_its_own_words() -> None:
    for path in Path(xcomposer_ui.ui.__file__).parent.rglob("*.py"):
        if path.name not in ("check_texts.py", "reasons.py"):
            # The language switch names Chinese in Chinese, in either language.
            assert not re.findall(r"[\u4e00-\u9fff]", path.read_text("utf-8").replace("中文", "")), path.name


def test_a_placeholder_is_filled() -> None:
    assert text("happened.loading", "en", model="m", dtype="float16") == "Loading m in float16"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN", "zh"), ("zh", "zh"), ("ZH-TW,en", "zh"), ("en-US,zh", "en"), ("de", "en"), ("", "en")],
)
def test_the_browser_chooses_the_language(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_the_runners_reasons_have_their_chinese() -> None:
    from xcomposer_ui.backends.devices import choose_device  # brings torch

    said = {Runner(Settings(half=half))._half(None)[1] for half in ("auto", "bfloat16")}
    said |= {choose_device(asked)[1] for asked in ("auto", "cpu")}
    assert all(reason(sentence, "zh") != sentence for sentence in said)
    assert all(reason(sentence, "en") == sentence for sentence in REASONS)
    assert reason("NVIDIA H200 is there", "zh") == "检测到 NVIDIA H200"


def test_a_reason_without_chinese_stays_as_it_is() -> None:
    assert reason("a {new} reason", "zh") == "a {new} reason"
