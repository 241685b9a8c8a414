"""From a pasted text to its Explanation: that of the first rule that matches, or one that says that none does."""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Message, Text, text
from xcomposer_ui.core.result import Explanation, Fix
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.explain.autocast_operations import operation_in, operation_named
from xcomposer_ui.explain.dtype_names import completed, dtypes_in
from xcomposer_ui.explain.locate import place
from xcomposer_ui.explain.references import DTYPES
from xcomposer_ui.explain.remedy_code import remedy_code
from xcomposer_ui.explain.rule import Facts, Rule
from xcomposer_ui.explain.rules import RULES
from xcomposer_ui.explain.traceback_parser import Raised, read

NOT_KNOWN = Message("explain.not_known")
_CUT_OFF = re.compile(r" ?(?:\.\.\.|…) ?$")
"""What pages and trackers put after a message that they shorten."""
# The kernel's own words reach the console before a CUDA exception that says nothing.
_ASSERT = re.compile(r"CUDA error: device-side assert triggered")


def explain(text: str, *, device: str | None = None, operation: str | None = None) -> Explanation:
    """What `text` means: an error message, a traceback, a notebook's output with colour codes, a log with one in it.

    device: "cpu", "cuda" or "mps" where it is known and the text does not tell.
    operation: that raised, such as "aten.addmm", where it is known.

    Of several independent errors in `text`, the first one that a rule matches is explained and the later ones are
    named in `also`, as they usually follow from it. Where no rule matches, `recognised` is False: nothing is guessed.
    """
    pasted = read(text)
    errors: dict[str, list[Raised]] = {}
    for error in pasted.errors:
        errors.setdefault(error[0].text, error)
    explained = (_explained(error, pasted.text, device, operation) for error in errors.values())
    known = [explanation for explanation in explained if explanation is not None]
    if known:
        titles = {str(explanation.title): explanation.title for explanation in known}
        return replace(known[0], also=tuple(titles.values())[1:])
    return Explanation(
        recognised=False,
        family=None,
        title=Message("explain.unknown"),
        cause=Message("explain.unknown.cause"),
        where=place(pasted.errors[-1][0].frames),
    )


def _explained(error: list[Raised], pasted: str, device: str | None, operation: str | None) -> Explanation | None:
    for raised in _candidates(error, pasted):
        message = _CUT_OFF.sub("", re.sub(r"\s+", " ", raised.text))
        seen = (operation_in(frame.code, frame.file) for frame in reversed(raised.frames[-2:]))
        called = operation or operation_named(message) or next(filter(None, seen), None)
        on = device or _device(raised.text)
        for rule in RULES:
            # A rule may decline one place of a long text and accept another: ask for each.
            for match in rule.matches(message, _CUT_OFF.sub("", raised.text)):
                dtypes = _dtypes(match) if rule.names_dtypes else ()
                facts = Facts(match, message, dtypes, raised.frames, on, called)
                if rule.applies is None or rule.applies(facts):
                    return _explanation(rule, facts)
    return None


def _candidates(error: list[Raised], pasted: str) -> list[Raised]:
    """What may be the message: the error's exceptions, the last one first; after them the text around an assertion."""
    return [*error, Raised("", pasted, error[0].frames)] if _ASSERT.search(error[0].message) else error


def _dtypes(match: re.Match[str]) -> tuple[str, ...]:
    """The dtypes that the match names, a last one that the end of the text cuts too if only one begins so."""
    found = dtypes_in(_named(match))
    rest = match.string[match.end() :]
    last = match.group(match.lastindex or 0)
    if len(found) == 1 and not rest.strip(" .…") and not dtypes_in(last) and (dtype := completed(last)):
        return (*found, dtype)
    return found


def _named(match: re.Match[str]) -> str:
    """The part of the message that names dtypes: the pattern's plain groups, or all of the match."""
    named = set(match.re.groupindex.values())
    plain = [match.group(index) for index in range(1, match.re.groups + 1) if index not in named]
    return " , ".join(part for part in plain if part) if plain else match.group()


def _device(text: str) -> str | None:
    if re.search(r"\bcuda\b|CUDA|cuda:\d", text):
        return "cuda"
    return "cpu" if re.search(r"\(CPU\)|_cpu\b|CPU\w+Type|\bon CPU\b", text) else None


def _explanation(rule: Rule, facts: Facts) -> Explanation:
    return Explanation(
        recognised=True,
        family=rule.family,
        title=rule.title,
        cause=_with_facts(rule, facts),
        dtypes=facts.dtypes,
        fixes=_fixes(rule, facts),
        references=rule.references or ((DTYPES,) if facts.dtypes else ()),
        where=place(facts.frames),
        clash=rule.is_clash(facts),
    )


def _fixes(rule: Rule, facts: Facts) -> tuple[Fix, ...]:
    """Every strategy's verdict, and the code of those that may cure: in the half type that the message names."""
    verdicts = rule.verdicts_for(facts)
    half = next((dtype for dtype in facts.dtypes if dtype in HALF_DTYPES), HALF_DTYPES[0])
    fixes = []
    for name, strategy in STRATEGIES.items():
        cures, why = verdicts.get(name, (None, NOT_KNOWN))
        code = None if cures is False else remedy_code(strategy, half, device=facts.device or "cuda")
        fixes.append(Fix(name, cures, why, code=code))
    return tuple(fixes)


def _with_facts(rule: Rule, facts: Facts) -> Text:
    """The rule's cause with the dtypes that met, and with the card that the message names, if any."""
    unnamed = "explain.two_dtypes" if rule.tells_of_two else "explain.one_dtype"
    card = {name: facts.match.groupdict().get(name) for name in ("gpu", "capability")}

    def filled(language: str) -> str:
        cause = rule.cause.in_language(language)
        if not facts.dtypes and not rule.tells_of_two:
            cause = cause.replace(" ({dtypes})", "").replace("（{dtypes}）", "")
        dtypes = text("list.separator", language).join(facts.dtypes) or text(unnamed, language)
        gpu = text("explain.gpu", language, **card) if all(card.values()) else ""
        return cause.replace("{dtypes}", dtypes) + gpu

    return Text(filled("en"), filled("zh"))
