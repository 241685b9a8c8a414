"""From a pasted text to its Explanation: the first rule of the table that matches, or the word that none does."""

from __future__ import annotations

import re

from xcomposer_ui.core.result import Explanation, Fix
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain.autocast_operations import operation_in, operation_named
from xcomposer_ui.explain.dtype_names import dtypes_in
from xcomposer_ui.explain.locate import place
from xcomposer_ui.explain.references import DTYPES
from xcomposer_ui.explain.rule import Facts, Rule, Text
from xcomposer_ui.explain.rules import RULES
from xcomposer_ui.explain.traceback_parser import Pasted, Raised, read

_UNKNOWN = Text("This error is not in the table", "规则表中没有这个错误")
_UNKNOWN_CAUSE = Text(
    "No rule matches, so nothing is guessed. For a report, collect: the whole traceback from “Traceback” to the last "
    "line; the versions of Python, PyTorch and transformers; the device; the dtype of the weights "
    "(`next(model.parameters()).dtype`) and of the inputs; and the shortest call that fails.",
    "没有匹配的规则，因此不作猜测。报告问题时请收集：从“Traceback”到最后一行的完整回溯；"
    "Python、PyTorch、transformers 的版本；"
    "设备；权重的 dtype（`next(model.parameters()).dtype`）和输入的 dtype；以及能复现的最短调用。",
)
_NOT_KNOWN = Text("What this strategy does to it is not known.", "尚不清楚此策略的作用。")
_GPU = Text(" The GPU in this paste, {gpu}, has {capability}.", "此处的 GPU {gpu} 为 {capability}。")
_SOME = Text("two dtypes", "两种 dtype")
# The kernel's own words reach the console before a CUDA exception that says nothing.
_ASSERT = re.compile(r"CUDA error: device-side assert triggered")


def explain(text: str, *, language: str = "en", device: str | None = None, operation: str | None = None) -> Explanation:
    """What `text` means: an error message, a traceback, a notebook's output with colour codes, a log with one in it.

    language: "en" or "zh". device: "cpu", "cuda" or "mps" where it is known and the text does not tell.
    operation: that raised, such as "aten.addmm", where it is known.
    An Explanation with `recognised=False` where no rule matches: then nothing is guessed.
    """
    pasted = read(text)
    for error in pasted.errors or [[]]:
        for raised in _candidates(error, pasted):
            device_here = device or _device(raised.text)
            for rule in RULES:
                if facts := _match(rule, raised, device_here, operation):
                    return _explanation(rule, facts, language)
    last = pasted.errors[-1][0].frames if pasted.errors else pasted.frames
    return Explanation(
        recognised=False,
        family=None,
        title=_UNKNOWN.in_language(language),
        cause=_UNKNOWN_CAUSE.in_language(language),
        where=place(last, language),
    )


def _candidates(error: list[Raised], pasted: Pasted) -> list[Raised]:
    """What may be the message: the error's exceptions, the last one first; the whole text where there are none."""
    if not error:
        return [Raised("", pasted.text, pasted.frames)]
    if _ASSERT.search(error[0].message):
        return [*error, Raised("", pasted.text, error[0].frames)]
    return error


def _match(rule: Rule, raised: Raised, device: str | None, operation: str | None) -> Facts | None:
    flat = re.sub(r"\s+", " ", raised.text)
    for pattern in rule.anywhere:
        # A rule may decline one place of a long text and accept another: ask for each.
        for found in pattern.finditer(flat):
            if facts := _facts(rule, found, flat, raised, device, operation):
                return facts
    for pattern in rule.whole_line:
        if (found_line := pattern.search(raised.text)) and (
            facts := _facts(rule, found_line, flat, raised, device, operation)
        ):
            return facts
    return None


def _facts(
    rule: Rule, match: re.Match[str], flat: str, raised: Raised, device: str | None, operation: str | None
) -> Facts | None:
    dtypes = dtypes_in(_named(match)) if rule.names_dtypes else ()
    seen = (operation_in(frame.code, frame.file) for frame in reversed(raised.frames[-2:]))
    operation = operation or operation_named(flat) or next(filter(None, seen), None)
    facts = Facts(match=match, message=flat, dtypes=dtypes, frames=raised.frames, device=device, operation=operation)
    return facts if rule.applies is None or rule.applies(facts) else None


def _named(match: re.Match[str]) -> str:
    """The part of the message that names dtypes: the pattern's plain groups, or all of the match."""
    named = set(match.re.groupindex.values())
    plain = [match.group(index) for index in range(1, match.re.groups + 1) if index not in named]
    return " , ".join(part for part in plain if part) if plain else match.group()


def _device(text: str) -> str | None:
    if re.search(r"\bcuda\b|CUDA|cuda:\d", text):
        return "cuda"
    return "cpu" if re.search(r"\(CPU\)|_cpu\b|CPU\w+Type|\bon CPU\b", text) else None


def _gpu(facts: Facts, language: str) -> str:
    """The card that the message names, as a sentence; "" where it names none."""
    named = facts.match.groupdict()
    if not named.get("gpu") or not named.get("capability"):
        return ""
    return _GPU.in_language(language).format(gpu=named["gpu"], capability=named["capability"])


def _explanation(rule: Rule, facts: Facts, language: str) -> Explanation:
    chinese = language.startswith("zh")
    met = ("、" if chinese else ", ").join(facts.dtypes) or _SOME.in_language(language)
    verdicts = rule.verdicts_for(facts)
    fixes = []
    for strategy in STRATEGIES:
        cures, why = verdicts.get(strategy, (None, _NOT_KNOWN))
        fixes.append(Fix(strategy, cures, why.in_language(language)))
    return Explanation(
        recognised=True,
        family=rule.family,
        title=rule.title.in_language(language),
        cause=rule.cause.in_language(language).replace("{dtypes}", met) + _gpu(facts, language),
        dtypes=facts.dtypes,
        fixes=tuple(fixes),
        references=rule.references or ((DTYPES,) if facts.dtypes else ()),
        where=place(facts.frames, language),
    )
