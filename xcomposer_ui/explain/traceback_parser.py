"""What people paste: a message, a traceback, a notebook's or a launcher's output. Read into exceptions and frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xcomposer_ui.explain.plain_text import plain_text

MOST = 50
"""Exceptions that are looked at, the last ones."""

_IGNORED = re.compile(r"^(?:Exception ignored in\b|Exception in thread QueueFeederThread)")
_SUPERSEDED = re.compile(r"(?i)^(?!\s).{0,80}\b(?:fixed|solved|resolved|then|but now|after that)\b.{0,40}:\s*$")
"""A person's words between two tracebacks, after which the earlier ones are history."""
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
    re.compile(rf"^File (?P<file>[^\s\"].*?):(?P<line>\d+)(?:, in {_FUNCTION}.*)?$"),  # IPython 8
    re.compile(rf"^(?:Cell )?(?P<file>In ?\[\d+\]), line (?P<line>\d+)(?:, in {_FUNCTION}.*)?$"),
    re.compile(rf"^(?P<file>\S+\.py|<ipython-input-[^>]*>) in {_FUNCTION}(?:\(.*\))?$"),  # IPython 7, Colab
    re.compile(r"^(?P<file>\S+\.py):(?P<line>\d+) in (?P<function>\S+)$"),  # rich
    re.compile(r"^(?P<file>\S+\.py):(?P<line>\d+): (?:[\w.]+)?$"),  # pytest
    re.compile(r"^(?P<file>\S+\.py)\((?P<line>\d+)\): (?P<function>\w+)$"),  # TorchScript
)
_ARROW = re.compile(r"^\s*(?:-+>|❱)\s*(?P<line>\d+)[\s│|]\s*(?:[│┃╎]\s*)*(?P<code>.*)$")  # rich draws guides


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
    """One exception: its class's name, its message (of several lines perhaps), its frames, outermost first.

    type: "" of a text that holds no exception.
    """

    type: str
    message: str
    frames: tuple[Frame, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


@dataclass(frozen=True)
class Pasted:
    """The errors of a paste.

    text: all of it, without colours, prefixes and markup. errors: independent ones in the order in which they stand;
    each is a chain, the last exception first, then those it was raised from. Without any, the text is the only one.
    """

    text: str
    errors: list[list[Raised]]


def read(text: str) -> Pasted:
    """The exceptions that `text` holds, of very many the last MOST.

    Exceptions that were raised from one another, and a launcher's report of a failed worker, are one error.
    """
    plain = plain_text(text)
    lines = plain.split("\n")
    errors: list[list[Raised]] = []
    frames: list[Frame] = []
    chained = in_traceback = ignored = unreadable = False
    index = 0
    while index < len(lines):
        line = _unboxed(lines[index])
        if _HEADER.search(line):
            errors, frames = _with_stack(errors, frames, in_traceback), []
            in_traceback = True
        elif _CHAIN.match(line):
            chained = True
        elif _IGNORED.match(line):
            ignored = True
        elif frame := _frame(line):
            frames.append(frame)
            unreadable = False
        elif _looks_like_frame(line):
            unreadable = True  # its source line is not the frame's before it
        elif arrow := _ARROW.match(line):
            if frames and not unreadable:
                line_number = frames[-1].line or int(arrow["line"])
                frames[-1] = replace(frames[-1], line=line_number, code=arrow["code"].strip())
        elif frames and line.expandtabs(4).startswith("    ") and not frames[-1].code and line.strip(" ^~"):
            if not unreadable:
                frames[-1] = replace(frames[-1], code=line.strip())
        elif exception := _exception(lines, index, bool(frames)):
            raised = replace(exception, frames=tuple(frames))
            if not ignored:
                errors = _added(errors, raised, joined=chained or not frames or _is_wrapper(exception))
            frames, chained, in_traceback, ignored = [], False, False, False
            index += exception.message.count("\n")
        elif not in_traceback and _SUPERSEDED.match(line):
            errors = []
        index += 1
    errors = _with_stack(errors, frames, in_traceback)[-MOST:]
    return Pasted(plain, errors or [[Raised("", plain, _outermost_first(frames))]])


def _added(errors: list[list[Raised]], raised: Raised, *, joined: bool) -> list[list[Raised]]:
    """`errors` with `raised`: in the last one's chain if `joined`, else an error of its own."""
    if not errors:
        return [[raised]]
    *earlier, last = errors
    before = last[0]
    if before.type == raised.type and raised.frames and not before.frames and before.message.startswith(raised.message):
        # Some print the message before the stack, and again, cut short, after it.
        whole = replace(before, frames=_outermost_first(raised.frames))
        return [*earlier, [whole, *last[1:]]]
    return [*earlier, [raised, *last][:MOST]] if joined else [*errors, [raised]]


def _with_stack(errors: list[list[Raised]], frames: list[Frame], in_traceback: bool) -> list[list[Raised]]:
    """`errors`, the last one with `frames` that follow its message, where no exception follows them."""
    if not errors or not frames or in_traceback or errors[-1][0].frames:
        return errors
    first, *rest = errors[-1]
    return [*errors[:-1], [replace(first, frames=_outermost_first(frames)), *rest]]


def _outermost_first(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """`frames` in Python's order: a stack that ends with the module's own code was printed the other way round."""
    return tuple(frames[::-1] if len(frames) > 1 and frames[-1].function == "<module>" else frames)


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


def _looks_like_frame(line: str) -> bool:
    """Whether `line` begins a frame in some form that `_frame` does not know."""
    return re.match(r"^(?:File |Cell |Input In |\S+\.py\b.{0,80} in )", line) is not None


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
