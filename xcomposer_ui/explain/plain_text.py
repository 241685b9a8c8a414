"""The plain text of a paste: from a terminal, a log of several processes, a page, a notebook, a Markdown list."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

LONGEST = 60_000
"""Characters that are read, colour codes aside. Of a longer paste the end counts: there the exception stands."""

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # operating system commands: hyperlinks, titles
    r"|(?:\x1b|\\u001b|\\x1b|\\033|\\e|\u241b)\[[0-9;:?]*[ -/]*[@-~]"  # colours, also as notebooks escape them
    r"|\x1b[@-_]"
    r"|\[(?:\d{1,3};)*\d{1,3}m"  # colours whose escape character was lost on the way
)
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u2028": "\n", "\r": "\n"})
_SOURCE = r"(?:\[default\d+\]:|\[[\w:.-]+\]:\s?|\([\w .=-]+pid=[^)]*\)\s?|[\w.-]+\s*\|\s(?=\S| ))"
"""Who printed a line: "[rank0]: ", torchrun's "[default0]:", "(EngineCore pid=12) ", "worker-1  | "."""
_PREFIX = re.compile(
    rf"^(?:{_SOURCE}"
    r"|>\s?"  # a quotation
    r"|E(?=\s{3})\s{3}"  # pytest
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s(?:std(?:err|out)\s[FP]\s)?"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]+ [\w./@-]+(?:\[\d+\])?: ?"  # journald, syslog
    r"|\s*\| |\s*\+-[-+]*(?: \d+ -+)?$"  # an ExceptionGroup's frames and rulers
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(?:[\d-]+\s[\d:.,]+\s)?(?:\[?[\w./-]+\.py:\d+\]\s?|(?=\d{4}-))"
    r"|[\w.-]{1,40}:\s(?=Traceback \(|\s{2,}File \"|(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception):)"
    r"|\s*[-*+]\s+(?:\*\*[^*]{1,40}\*\*\s*)?(?=\S)(?![-*+\s>])"  # a list, with a bold label
    r"|\^C(?=Traceback)"
    r")"
)
_MARKDOWN_LINK = re.compile(r"\[([^\][]+)\]\((?:https?|file|vscode)[^()\s]*\)")
_VS_CODE = re.compile(r"(?m)^Exception has occurred: ([\w.]+)[^\n]*\n(?=\S)")
_TERMINAL_COLUMNS = 80
# What a page of a notebook or of a tracker is made of; "<module>" and "c10::complex<float>" are none of it.
_TAG = re.compile(
    r"</?(?:span|div|pre|code|samp|b|i|em|strong|font|a|p|br|hr|table|tbody|tr|td|th|ul|ol|li|html|body|script|style)"
    r"(?:\s[^<>]{0,400})?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:quot|apos|lt|gt|amp|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});")


def plain_text(text: str) -> str:
    """`text` without colours, prefixes of launchers and logs, a page's or a notebook's markup, and line wrapping.

    Of a long text the last LONGEST characters.
    """
    text = _ANSI.sub("", _from_page(_from_notebook(text)[-4 * LONGEST :]))[-LONGEST:].translate(_QUOTES)
    text = _VS_CODE.sub(r"\1: ", _MARKDOWN_LINK.sub(r"\1", text))
    lines = [_without_prefixes(line) for line in _by_source(_unwrapped(textwrap.dedent(text).split("\n")))]
    return "\n".join(_dedented(lines))


def _without_prefixes(line: str) -> str:
    for _ in range(6):  # quoted logs of containers of ranks
        shorter = _PREFIX.sub("", line, count=1)
        if shorter == line:
            break
        line = shorter
    return line


def _unwrapped(lines: list[str]) -> list[str]:
    """The lines of a terminal that breaks them at its width, joined again."""
    if max(map(len, lines), default=0) != _TERMINAL_COLUMNS:
        return lines
    joined: list[str] = []
    continues = False
    for line in lines:
        if continues and line[:1].strip():
            joined[-1] += line
        else:
            joined.append(line)
        continues = len(line) == _TERMINAL_COLUMNS
    return joined


def _by_source(lines: list[str]) -> list[str]:
    """The lines of each rank or process together: processes write over one another."""
    sources: dict[str, list[str]] = {}
    source = ""
    for line in lines:
        if found := re.match(_SOURCE, line):
            source = found[0].strip()
        elif line.strip():
            source = ""
        sources.setdefault(source, []).append(line)
    return [line for group in sources.values() for line in group] if len(sources.keys() - {""}) > 1 else lines


def _dedented(lines: list[str]) -> list[str]:
    """Tracebacks that stand indented in a log that is not, without their indentation."""
    indent = ""
    moved: list[str] = []
    for line in lines:
        if (header := re.match(r"\s+(?=Traceback \(most recent call last\))", line)) is not None:
            indent = header[0]
        elif line.strip() and not line.startswith(indent):
            indent = ""
        moved.append(line.removeprefix(indent))
    return moved


def _from_page(text: str) -> str:
    """The text of a piece of HTML; any other text as it is."""
    if "</" in text or "<br" in text:
        text = _TAG.sub(lambda tag: "\n" if tag[0][:3].lower() in ("<br", "<p>", "<di", "<tr") else "", text)
    if "&" in text and _ENTITY.search(text):
        import html  # its table of names takes milliseconds that other texts are spared

        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text


def _from_notebook(text: str) -> str:
    """The tracebacks of a notebook file, of a piece of one or of a log in JSON; any other text as it is."""
    if text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]"):
        for documents in ([text], text.split("\n")):
            try:
                found = [
                    line for document in documents if document.strip() for line in _tracebacks(json.loads(document))
                ]
                return "\n".join(found) or text
            except (ValueError, RecursionError):
                pass  # no JSON, or a piece of it, or nested without end: read line by line below
    text = text[-4 * LONGEST :]
    if "\\u001b[" not in text and '"ename"' not in text:
        return text
    lines = (re.sub(r'^\s*"(.*?)(?:\\n)?",?\s*$', r"\1", line) for line in text.split("\n"))
    return "\n".join(line.replace('\\"', '"').replace("\\n", "\n") for line in lines)


def _tracebacks(node: Any) -> list[str]:
    if isinstance(node, dict):
        lines = node.get("traceback")
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            return list(lines)
        return [line for value in node.values() for line in _tracebacks(value)]
    if isinstance(node, list):
        return [line for value in node for line in _tracebacks(value)]
    if isinstance(node, str) and "Traceback (most recent call last)" in node and "\n" in node.strip():
        return node.split("\n")
    return []
