"""A figure is one row: a row made up here is a column in the page's tables, CSV, Markdown and the command line."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.compare.scripted import ScriptedRunner
from xcomposer_ui.cli import compare as compare_command
from xcomposer_ui.cli import run as run_command
from xcomposer_ui.compare.batch import Results
from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import context_as_json
from xcomposer_ui.compare.execution import ComparisonSettings, compare
from xcomposer_ui.compare.report import as_table, markdown
from xcomposer_ui.compare.summary import summarize
from xcomposer_ui.core import metrics
from xcomposer_ui.core.messages import LANGUAGES, sentences
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.units import seconds
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.session import SessionRun
from xcomposer_ui.ui.views.comparison import comparison_view
from xcomposer_ui.ui.views.runs import metric_tiles, runs_csv, runs_table

QUESTION = Request("What is there?", Image.new("RGB", (4, 3), "red"))
DECODE = metrics.Metric(
    "decode_sec", "metric.decode", seconds, "decoding (s)", compute=lambda run: run["latency_sec"] and 12.5,
    places=metrics.EVERYWHERE | {"tiles"}, repeated=True, spread=True, distributed=True,
)  # fmt: skip
SHOWN = "12.5 s"


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, DECODE))
    for language in LANGUAGES:
        monkeypatch.setitem(sentences(language), "metric.decode", "Decoding")
        monkeypatch.setitem(sentences(language), "metric.decode.kind", "tokens after the first")
    *_, last = compare(ScriptedRunner(), QUESTION, ComparisonSettings(repeats=2))
    return last.comparison


def columns(shown: str) -> list[list[str]]:
    """The cells of each row of the first HTML table of `shown`."""
    table = shown.split("<table")[1].split("</table>")[0]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.split("<tr[^>]*>", table)[1:])
    return [[re.sub(r"<[^>]+>", " ", cell).strip() for cell in cells] for cells in rows]


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_a_column_of_the_pages_tables_and_a_tile(comparison: Comparison, language: str) -> None:
    result = comparison.runs[1].result
    for shown in (
        comparison_view(CompareSession(comparison=comparison), language),
        runs_table((SessionRun(result.request, result),), language),
    ):
        heads, *rows = columns(shown)
        assert heads[-1] == "Decoding"
        assert all(row[-1].startswith((SHOWN, "—")) for row in rows)
        assert any(SHOWN in row[-1] for row in rows)
    assert 'data-tile="decode"' in metric_tiles(result.measurement, language)


def test_it_is_a_column_of_every_csv(comparison: Comparison, tmp_path: Path) -> None:
    document = comparison_as_json(comparison, context_as_json(QUESTION, comparison))
    results = Results(tmp_path / "out", {})
    tables = (
        as_table(document),
        runs_csv((SessionRun(comparison.runs[1].result.request, comparison.runs[1].result),)),
        results.csv.read_text(encoding="utf-8"),
    )
    for table in tables:
        rows = list(csv.DictReader(io.StringIO(table)))
        assert "decode_sec" in table.splitlines()[0]
        assert {row["decode_sec"] for row in rows} <= {"12.5", ""}
    read = list(csv.DictReader(io.StringIO(tables[0])))
    assert (read[1]["decode_lowest_sec"], read[1]["decode_highest_sec"]) == ("12.5", "12.5")


def test_it_is_a_column_of_the_report(comparison: Comparison) -> None:
    figures = markdown(comparison_as_json(comparison, context_as_json(QUESTION, comparison))).split("## Figures")[1]
    head, _, *rows = [line for line in figures.splitlines() if line.startswith("|")][:6]
    names = [name.strip() for name in head.split("|")]
    assert names[names.index("decoding (s)") + 1] == "lowest–highest (s)"
    assert [row.split("|")[names.index("decoding (s)")].strip() for row in rows] == ["—", "12.5", "12.5", "12.5"]


def test_the_command_line_and_summaries_have_it(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    compare_command.describe(comparison, as_json=False)
    assert capsys.readouterr().out.count(f"decoding {SHOWN}") == 3
    run_command.describe(comparison.runs[1].result)
    assert f"decoding {SHOWN}" in capsys.readouterr().err
    entry = summarize([comparison_as_json(comparison)])[1]
    assert entry["distributions"]["decode_sec"]["median"] == 12.5
