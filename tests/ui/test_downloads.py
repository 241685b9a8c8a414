"""What a run's links give, decoded."""

from __future__ import annotations

import ast
import base64
import json
import re

import pytest

from tests.requests import result_of
from tests.ui.scripted import FAILURE, MEASURED, MESSAGE
from xcomposer_ui.compare.document import document_of_run
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.ui.views.downloads import downloads

ANSWERED = result_of("full", MEASURED, text="What is there?", seed=5, answer="Red.")
FAILED = result_of("as_is", MEASURED, text="What is there?", seed=5, failure=FAILURE)


def files(result: RunResult) -> dict[str, str]:
    shown = downloads(document_of_run(result), "run", "?ask=x", "en")
    found = re.findall(r'download="([^"]+)" href="data:[^;]+;charset=utf-8;base64,([^"]+)"', shown)
    return {name: base64.b64decode(data).decode() for name, data in found}


def test_an_answer_is_there_in_every_format() -> None:
    given = files(ANSWERED)
    assert set(given) == {"run.md", "run.json", "run.py"}  # the table of runs has the CSV
    assert "Red." in given["run.md"]
    assert json.loads(given["run.json"])["question"]["text"] == "What is there?"
    ast.parse(given["run.py"])


def test_a_failure_has_a_bug_report_besides() -> None:
    given = files(FAILED)
    assert given["bug-report.md"].startswith(f"# RuntimeError: {MESSAGE}")
    assert MESSAGE in given["run.md"]


@pytest.mark.parametrize(("language", "said"), [("en", "Copy a link to these settings"), ("zh", "复制此设置的链接")])
def test_the_link_is_there_in_the_pages_language_and_harmless(language: str, said: str) -> None:
    shown = downloads(document_of_run(ANSWERED), "run", '?ask="><script>', language)
    assert said in shown
    assert "<script" not in shown
    assert 'data-copy-link="?ask=&#34;&gt;' in shown
    assert said not in downloads(document_of_run(ANSWERED), "run", "", language)
