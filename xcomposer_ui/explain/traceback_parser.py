"""What people paste: a message, a traceback, a notebook's or a launcher's output. Read into exceptions and frames."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, field
from typing import Any

LONGEST = 60_000
"""Characters that are read, colour codes aside. Of a longer paste the end counts: there the exception stands."""

MOST = 50
"""Exceptions that are looked at, the last ones."""

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # operating system commands: hyperlinks, titles
    r"|(?:\x1b|\\u001b|\\x1b|\\033|\\e|\u241b)\[[0-9;:?]*[ -/]*[@-~]"  # colours, also as notebooks escape them
    r"|\x1b[@-_]"
    r"|\[(?:\d{1,3};)*\d{1,3}m"  # colours whose escape character was lost on the way
)
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u2028": "\n", "\r": "\n"})
# "[rank0]: ", "worker-1  | ", "(EngineCore pid=12) ", "> ", pytest's "E   "
_PREFIX = re.compile(r"^(?:\[[\w:.-]+\]:\s?|\([\w .=-]+pid=[^)]*\)\s?|[\w.-]+\s*\|\s(?=\S| )|>\s|E(?=\s{3})\s{3})")
# What a page of a notebook or of a tracker is made of; "<module>" and "c10::complex<float>" are none of it.
_TAG = re.compile(
    r"</?(?:span|div|pre|code|samp|b|i|em|strong|font|a|p|br|hr|table|tbody|tr|td|th|ul|ol|li|html|body|script|style)"
    r"(?:\s[^<>]{0,400})?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:quot|apos|lt|gt|amp|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});")
_HEADER = re.compile(r"Traceback \(most recent call last\)|Traceback of TorchScript")
_CHAIN = re.compile(r"^(?:The above exception was the direct cause|During handling of the above exception)")
_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Warning|Interrupt|Exit|Iteration|Failed))"
    r"(?::(?P<message>.*))?\s*$"
)
_BOX = re.compile(r"^\s*[│┃|]\s?(.*?)\s*[│┃|]?$")
_FUNCTION = r"(?P<function>(?:<[^<>]*>|[\w.])+)"  # "Linear.forward", "<module>", "<cell line: 2>"
_FRAMES = (
    re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?'),
    re.compile(rf"^File (?P<file>\S+?):(?P<line>\d+)(?:, in {_FUNCTION}.*)?$"),  # IPython 8
    re.compile(rf"^(?:Cell )?(?P<file>In ?\[\d+\]), line (?P<line>\d+)(?:, in {_FUNCTION}.*)?$"),
    re.compile(rf"^(?P<file>\S+\.py) in {_FUNCTION}\(.*\)$"),  # IPython 7
    re.compile(r"^(?P<file>\S+\.py):(?P<line>\d+) in (?P<function>\S+)$"),  # rich
    re.compile(r"^(?P<file>\S+\.py):(?P<line>\d+): (?:[\w.]+)?$"),  # pytest
    re.compile(r"^(?P<file>\S+\.py)\((?P<line>\d+)\): (?P<function>\w+)$"),  # TorchScript
)
_ARROW = re.compile(r"^\s*(?:-+>|❱)\s*(?P<line>\d+)[\s│|]\s*(?P<code>.*)$")


@dataclass(frozen=True)
class Frame:
    """One step of a traceback. `code` is its source line, empty where the paste has none."""

    file: str
    line: int | None
    function: str
    code: str = ""

    @property
    def short_file(self) -> str:
        """The file's name with its folder: enough to find it, without the rest of somebody's disk."""
        return "/".join(re.split(r"[/\\]", self.file)[-2:])


@dataclass(frozen=True)
class Raised:
    """One exception: its class's name, its message (of several lines perhaps), its frames, outermost first."""

    type: str
    message: str
    frames: tuple[Frame, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


@dataclass
class Pasted:
    """exceptions: last one first, then those it came from. Without any, `text` is all there is to go by."""

    text: str
    exceptions: list[Raised] = field(default_factory=list)


def read(text: str) -> Pasted:
    """The exceptions that `text` holds, the one that counts first; of very many the last.

    An earlier traceback counts only where the last one was raised from it, or is a launcher's word on a worker.
    """
    plain = _plain(text)
    found = _exceptions(plain.split("\n"))
    return Pasted(text=plain, exceptions=found[: -MOST - 1 : -1])


def _plain(text: str) -> str:
    text = _ANSI.sub("", _from_page(_from_notebook(text)[-4 * LONGEST :]))[-LONGEST:].translate(_QUOTES)
    lines = textwrap.dedent(text).split("\n")
    return "\n".join(_PREFIX.sub("", line) for line in lines)


def _from_page(text: str) -> str:
    """The text of a piece of HTML; any other text as it is."""
    if "</" in text or "<br" in text:
        text = _TAG.sub(lambda tag: "\n" if tag[0][:3].lower() in ("<br", "<p>", "<di", "<tr") else "", text)
    if "&" in text and _ENTITY.search(text):
        import html  # its table of names takes milliseconds that other texts are spared

        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text


def _from_notebook(text: str) -> str:
    """The tracebacks of a notebook file or of a piece of one; any other text as it is."""
    if text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]"):
        try:
            return "\n".join(_tracebacks(json.loads(text))) or text
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
    return []


def _exceptions(lines: list[str]) -> list[Raised]:
    """All exceptions that count, in the order in which they stand; see `read`."""
    found: list[Raised] = []
    frames: list[Frame] = []
    chained = in_traceback = False
    index = 0
    while index < len(lines):
        line = _unboxed(lines[index])
        if _HEADER.search(line):
            in_traceback, frames = True, []
        elif _CHAIN.match(line):
            chained = True
        elif frame := _frame(line):
            frames.append(frame)
            in_traceback = True
        elif arrow := _ARROW.match(line):
            frames = [*frames[:-1], _with_code(frames[-1], arrow)] if frames else frames
        elif frames and line.startswith("    ") and not frames[-1].code and line.strip(" ^~"):
            frames[-1] = Frame(frames[-1].file, frames[-1].line, frames[-1].function, line.strip())
        elif exception := _exception(lines, index, in_traceback and bool(frames)):
            keep = found if chained or not frames or _is_wrapper(exception) else []
            found = [*keep, Raised(exception.type, exception.message, tuple(frames))]
            frames, chained, in_traceback = [], False, False
            index += exception.message.count("\n")
        index += 1
    return found


def _unboxed(line: str) -> str:
    """A line out of the box that rich draws around a traceback."""
    return match.group(1) if line[:1] in "│┃" and line and (match := _BOX.match(line)) else line


def _frame(line: str) -> Frame | None:
    for pattern in _FRAMES:
        if match := pattern.match(line):
            parts = match.groupdict()
            number = parts.get("line")
            return Frame(parts["file"], int(number) if number else None, (parts.get("function") or "").strip())
    return None


def _with_code(frame: Frame, arrow: re.Match[str]) -> Frame:
    return Frame(frame.file, frame.line or int(arrow["line"]), frame.function, arrow["code"].strip())


def _exception(lines: list[str], index: int, after_frames: bool) -> Raised | None:
    """The exception whose line `index` is: named like one, or the first unindented line below a frame's source."""
    line = lines[index]
    match = _EXCEPTION.match(line)
    if match:
        kind, first = match["type"], (match["message"] or "").strip()
    elif after_frames and (own := re.match(r"^([A-Za-z_][\w.]*)(?::\s(.*))?$", line)):
        kind, first = own[1], (own[2] or "").strip()
    else:
        return None
    rest: list[str] = []
    for following in lines[index + 1 : index + 60]:
        ends = not following.strip() or _HEADER.search(following) or _CHAIN.match(following)
        if ends or _EXCEPTION.match(following) or _frame(following):
            break
        rest.append(following.strip())
    return Raised(kind, "\n".join([first, *rest]).strip())


def _is_wrapper(exception: Raised) -> bool:
    """Whether it only reports that a worker or a child process failed."""
    return exception.type.rpartition(".")[2] in ("ChildFailedError", "CalledProcessError", "ProcessRaisedException")
