"""The parts of a rule: texts in English and Chinese, verdicts on the strategies, facts of a match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from xcomposer_ui.core.messages import Text
from xcomposer_ui.core.result import Reference
from xcomposer_ui.explain.dtype_names import HALVES, INTEGERS
from xcomposer_ui.explain.traceback_parser import Frame

DTYPE = r"((?:(?:struct|class) )?(?:(?:unsigned|signed) )?[A-Za-z_][\w:.]*(?:<[\w: .]+>)?(?: long| int| char)*)"
"""A pattern for one dtype in any spelling, as a group."""


def cut(text: str) -> str:
    """A pattern for `text` and for every beginning of it, the empty one too."""
    return "".join(f"(?:{re.escape(letter)}" for letter in text) + ")?" * len(text)


CLASS = r"(?:[A-Za-z_][\w.]*(?:Error|Exception|Warning)[ \t]*:[ \t]*)?"

STATED = r"(?:[:>\]|`'\"]|(?<=\s)-) ?"
"""A pattern for what stands before a message that reads like prose: its class, a log's prefix, a quotation mark.

Where nothing stands before it, such a message must be all there is on its line: it goes into a rule's `whole` as well.
"""

_DEVICE = re.compile(r"(?i)(?:cuda|hip|mps|xpu|xla|npu)(?::\d+)?")


def _sets_autocast(frame: Frame) -> bool:
    # torch.amp.custom_fwd stands in the same file and leaves autocast as it finds it; custom_bwd sets it.
    if "autocast_mode.py" in frame.file:
        return not re.search(r"\b(?:decorate_)?fwd\b", f"{frame.function} {frame.code}")
    return re.match(r"(?:async )?with\b.*\bautocast\(", frame.code) is not None


@dataclass(frozen=True)
class Facts:
    """What is known when a rule matches.

    match: of the rule's pattern. message: the exception's, on one line. dtypes: in torch's spelling, as they appear.
    frames: of the traceback, outermost first. device: "cpu", "cuda", "mps", or None where nothing tells.
    operation: that raised, such as "aten.addmm", where a run saw it; else what the innermost frames show, or None.
    """

    match: re.Match[str]
    message: str
    dtypes: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    device: str | None = None
    operation: str | None = None

    @property
    def has_integers(self) -> bool:
        return not INTEGERS.isdisjoint(self.dtypes)

    @property
    def has_double(self) -> bool:
        return "float64" in self.dtypes

    @property
    def has_complex(self) -> bool:
        return any(dtype.startswith("complex") for dtype in self.dtypes)

    @property
    def source_is_half(self) -> bool:
        """Of a write whose message names destination and source: half values go into something that is not."""
        return len(self.dtypes) == 2 and self.dtypes[1] in HALVES and not INTEGERS & {self.dtypes[0]}

    @property
    def call(self) -> str:
        """The source line of the innermost frame, "" where the paste shows none.

        torch/_ops.py only passes on what is called as `torch.ops.name.function(…)`: then the line that calls it.
        """
        own = [frame for frame in self.frames[-2:] if not re.search(r"torch[/\\]_ops\.py$", frame.file)]
        return own[-1].code if own else ""

    @property
    def on_two_devices(self) -> bool:
        """Whether the message's two groups name tensors of different devices, as "torch.cuda.HalfTensor" does."""
        found = (_DEVICE.search(group) for group in self.match.groups() if group)
        return len({device[0].lower() if device else "cpu" for device in found}) == 2

    @property
    def in_optimizer(self) -> bool:
        """Whether the step of one of torch's optimizers raised."""
        return bool(self.frames) and re.search(r"torch[/\\]optim[/\\]", self.frames[-1].file) is not None

    @property
    def under_autocast(self) -> bool:
        """Whether the traceback runs through torch.autocast, as a decorator or on one line with it."""
        return any(map(_sets_autocast, self.frames))


_CLASHES = ("autocast_mixed_half", "autocast_index_write")

Verdict = tuple[bool | None, Text]
Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True)
class Rule:
    """One entry of the table.

    patterns: of the whole message on one line, anywhere in it; groups hold the dtypes, without groups the match does.
    whole: patterns of messages too short to be told from prose: they must be all there is on a line.
    cause: `{dtypes}` in it stands for the dtypes that met.
    verdicts: by strategy, or a function of the facts. applies: a further condition.
    names_dtypes: False where the message may name dtypes that are no part of the failure.
    references: without any, PyTorch's page on dtypes where the message names some.
    """

    family: str
    title: Text
    cause: Text
    verdicts: Verdicts | Callable[[Facts], Verdicts]
    patterns: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    applies: Callable[[Facts], bool] | None = None
    names_dtypes: bool = True
    references: tuple[Reference, ...] = ()

    @cached_property
    def anywhere(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(pattern) for pattern in self.patterns)

    @cached_property
    def whole_line(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(rf"(?m)^[ \t]*{CLASS}(?:{pattern})[ \t]*\.?[ \t]*$") for pattern in self.whole)

    def matches(self, message: str, text: str) -> Iterator[re.Match[str]]:
        """The places that a pattern describes. message: the exception's, on one line. text: with its lines."""
        for patterns, searched in ((self.anywhere, message), (self.whole_line, text)):
            for pattern in patterns:
                yield from pattern.finditer(searched)

    @property
    def tells_of_two(self) -> bool:
        """Whether it is about two dtypes, also where the message names none."""
        return self.family.endswith("mismatch") or self.family == "result_dtype"

    def is_clash(self, facts: Facts) -> bool:
        """Whether two dtypes met in one operation; other rules name the dtypes that an operation accepts or lacks."""
        return self.family in _CLASHES or (self.family.endswith("dtype_mismatch") and len(facts.dtypes) == 2)

    def verdicts_for(self, facts: Facts) -> Verdicts:
        return self.verdicts(facts) if callable(self.verdicts) else self.verdicts
