"""What there is to take away of a run or a comparison: files, and a link to its settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from xcomposer_ui.compare.bug_report import bug_report
from xcomposer_ui.compare.csv_table import FIELDS, as_csv, rows
from xcomposer_ui.compare.report import FORMATS
from xcomposer_ui.core.messages import text
from xcomposer_ui.ui.views.marks import escaped

MIME = {
    "md": "text/markdown", "json": "application/json", "csv": "text/csv", "py": "text/x-python",
    "jsonl": "application/jsonl",
}  # fmt: skip


def downloads(document: Mapping[str, Any], stem: str, link: str, language: str) -> str:
    """Links that download `document` in each format, as files called `stem`; a bug report where there is one to make.

    link: the address that restores the settings; "" for none.
    """
    files = [(kind, f"{stem}.{kind}", made(document)) for kind, made in FORMATS.items()]
    links = [_file(text(f"compare.report.{kind}", language), name, MIME[kind], made) for kind, name, made in files]
    if len(document["runs"]) > 1 or document["runs"][0].get("failure"):
        links.append(_file(text("compare.report.issue", language), "bug-report.md", MIME["md"], bug_report(document)))
    if link:
        links.append(f'<a class="xl-download" href="{escaped(link)}">{escaped(text("compare.link", language))}</a>')
    title = escaped(text("compare.report", language))
    return f'<nav class="xl-takeaway" aria-label="{title}"><b>{title}</b>{"".join(links)}</nav>'


def downloads_of_many(documents: Sequence[Mapping[str, Any]], language: str) -> str:
    """Links that download all of `documents`: one a line as JSONL, and one row a run as CSV."""
    lines = "".join(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n" for document in documents)
    table = as_csv(
        ("question", *FIELDS),
        ({"question": document["question"]["text"], **row} for document in documents for row in rows(document)),
    )
    links = (
        _file(text("compare.report.jsonl", language), "examples.jsonl", MIME["jsonl"], lines),
        _file(text("compare.report.csv", language), "examples.csv", MIME["csv"], table),
    )
    title = escaped(text("compare.many", language))
    return f'<nav class="xl-takeaway" aria-label="{title}"><b>{title}</b>{"".join(links)}</nav>'


def _file(label: str, name: str, mime: str, content: str) -> str:
    # The file travels inside the page: nothing of a visitor's is left on the server. A spreadsheet needs the mark at
    # the start to read it as UTF-8.
    data = base64.b64encode((("\ufeff" if mime == MIME["csv"] else "") + content).encode()).decode()
    href = f"data:{mime};charset=utf-8;base64,{data}"
    return f'<a class="xl-download" download="{escaped(name)}" href="{href}">{escaped(label)}</a>'
