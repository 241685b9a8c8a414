"""The files of a run or a comparison to download, and a link to its settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.bug_report import bug_report
from xcomposer_ui.compare.report import FORMATS, as_csv, csv_fields, csv_rows
from xcomposer_ui.ui.html import render

Formats = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""Name of a format, which is also the file extension -> the function that writes a document in it."""

File = tuple[str, str, str, str]
"""The text code of a file's label, its name, its kind (a key of MIME), and its content."""

MIME = {
    "md": "text/markdown", "json": "application/json", "csv": "text/csv", "py": "text/x-python",
    "jsonl": "application/jsonl", "html": "text/html",
}  # fmt: skip


def downloads(document: Mapping[str, Any], stem: str, link: str, language: str) -> Markup:
    """Links that download `document` in each format, as files called `stem`, and a bug report of a failure or of more
    than one run.

    link: the address that restores the settings; "" for none.
    """
    single = len(document["runs"]) == 1  # the table of runs has a CSV of all of them
    kinds = {kind: made for kind, made in FORMATS.items() if not (single and kind == "csv")}
    bug = not single or document["runs"][0].get("failure")
    more = [("compare.report.issue", "bug-report.md", "md", bug_report(document))] if bug else []
    return links(kinds, document, stem, link, language, more)


def links(
    formats: Formats, document: Mapping[str, Any], stem: str, link: str, language: str, more: Sequence[File] = ()
) -> Markup:
    """Links that download `document` in each of `formats`, as files called `stem`, and the files of `more`."""
    files = [(f"compare.report.{kind}", f"{stem}.{kind}", kind, made(document)) for kind, made in formats.items()]
    return _links("compare.report", [*files, *more], language, link)


def batch_downloads(documents: Sequence[Mapping[str, Any]], language: str) -> Markup:
    """Links that download all of `documents`: one a line as JSONL, and one row a run as CSV."""
    lines = "".join(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n" for document in documents)
    table = as_csv(
        ("question", *csv_fields()),
        ({"question": document["question"]["text"], **row} for document in documents for row in csv_rows(document)),
    )
    contents = {"jsonl": lines, "csv": table}
    files = [(f"compare.report.{kind}", f"examples.{kind}", kind, content) for kind, content in contents.items()]
    return _links("compare.batch", files, language)


def data_url(kind: str, content: str) -> str:
    """`content` as a data: URL, so that no visitor's file is stored on the server."""
    mark = "\ufeff" if kind == "csv" else ""  # a spreadsheet reads UTF-8 only with a byte order mark
    data = base64.b64encode((mark + content).encode()).decode()
    return f"data:{MIME[kind]};charset=utf-8;base64,{data}"


def _links(title: str, files: Sequence[File], language: str, link: str = "") -> Markup:
    links = [(label, name, data_url(kind, content)) for label, name, kind, content in files]
    return render("downloads", language, title=title, files=links, link=link)
