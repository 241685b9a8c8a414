"""One sentence that follows from the figures of a comparison, in English or Chinese."""

from __future__ import annotations

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.strategies import STRATEGIES

NAMES = {
    "as_is": ("{half} as reported", "{half} 原样运行"),
    "autocast": ("{half} under autocast", "autocast 下的 {half}"),
    "unified": ("unified {half}", "统一为 {half}"),
    "full": ("full precision", "全精度"),
}

SAID = {
    "none": ("Nothing has been measured yet.", "尚无测量结果。"),
    "alone": ("Full precision answered; nothing else has been measured yet.", "全精度已回答；其他尚未测量。"),
    "against": ("Against full precision: ", "与全精度相比："),
    "unmeasured": (
        "Full precision has not been measured, and there is nothing to compare with: ",
        "尚未测量全精度，无从比较：",
    ),
    "failed": (
        "Full precision fails ({type}), and there is nothing to compare with: ",
        "全精度失败（{type}），无从比较：",
    ),
    "failed_alone": ("Full precision fails ({type}).", "全精度失败（{type}）。"),
    "all_failed": ("No strategy answered: ", "没有策略给出回答："),
    "answered": ("{name} answered", "{name}已回答"),
    "same": ("same answer", "回答相同"),
    "same_text": ("same text, of other tokens from token {n} on", "文字相同，但从第 {n} 个词元起切分不同"),
    "other": ("another answer", "回答不同"),
    "parts": ("another answer from token {n} on", "从第 {n} 个词元起回答不同"),
    "unsteady": ("not the same answer in every repeat", "各次重复的回答不一致"),
    "memory": ("{share} % of the memory", "内存为其 {share}%"),
    "time": ("{ratio} × the time", "用时为其 {ratio} 倍"),
    "time_like": ("about the same time", "用时几乎相同"),
    "time_same": ("no difference in time beyond the repeats' own spread", "用时差异未超出多次测量自身的波动"),
    "fails": ("{name} fails ({type})", "{name}失败（{type}）"),
    "stopped": ("{name} was stopped", "{name}被停止"),
}


def verdict(comparison: Comparison, language: str = "en") -> str:
    """What full precision's alternatives cost and give; ratios of medians, time only where the ranges part."""
    others = [run for run in comparison.runs if run.variant.strategy != "full"]
    if not comparison.runs:
        return _said("none", language)
    if comparison.full is not None and not others:
        return _said("alone", language)
    if comparison.full is None:
        return _without_full(comparison, others, language)
    clauses = [_clause(comparison, comparison.full, run, language) for run in others]
    return _said("against", language) + _joined(clauses, language)


def variant_name(variant: Variant, language: str) -> str:
    """A variant in words: "float16 under autocast"."""
    if variant.strategy not in NAMES:
        return variant.name
    half = variant.half if STRATEGIES[variant.strategy].weights == "half" else ""
    return NAMES[variant.strategy][language == "zh"].format(half=half)


def _without_full(comparison: Comparison, others: list[ComparedRun], language: str) -> str:
    """Who answered and who failed: all that can be said where full precision gave no answer, or none yet."""
    full = next((run for run in comparison.runs if run.variant.strategy == "full"), None)
    failure = None if full is None else full.result.failure
    if failure is None:
        head = _said("unmeasured", language)
    elif not others:
        return _said("failed_alone", language, type=failure.type)
    elif any(run.answer is not None for run in others):
        head = _said("failed", language, type=failure.type)
    else:
        head, others = _said("all_failed", language), list(comparison.runs)
    return head + _joined([_outcome(run, language) for run in others], language)


def _clause(comparison: Comparison, full: ComparedRun, run: ComparedRun, language: str) -> str:
    if run.answer is None or run.result.stopped:
        return _outcome(run, language)
    parts = [_answer(comparison, run, language)]
    mine, theirs = run.result.measurement.peak_memory_bytes, full.result.measurement.peak_memory_bytes
    if mine and theirs:
        parts.append(_said("memory", language, share=f"{100 * mine / theirs:.0f}"))
    parts += _time(full, run, language)
    colon, comma = ("：", "，") if language == "zh" else (": ", ", ")
    return variant_name(run.variant, language) + colon + comma.join(parts)


def _outcome(run: ComparedRun, language: str) -> str:
    name = variant_name(run.variant, language)
    if language == "zh" and name[-1].isascii():
        name += " "  # between Latin and Chinese letters
    if run.result.failure is not None:
        return _said("fails", language, name=name, type=run.result.failure.type)
    return _said("stopped" if run.result.stopped else "answered", language, name=name)


def _answer(comparison: Comparison, run: ComparedRun, language: str) -> str:
    if not run.answers_agree:
        return _said("unsteady", language)
    divergence = comparison.divergence_of(run)
    parts = None if divergence is None else divergence.first_different_token
    same = comparison.same_as_full(run)
    if parts is not None:
        return _said("same_text" if same else "parts", language, n=parts)
    return _said("same" if same else "other", language)


def _time(full: ComparedRun, run: ComparedRun, language: str) -> list[str]:
    mine, theirs = run.spread("latency_sec"), full.spread("latency_sec")
    if mine is None or theirs is None or not theirs.median:
        return []
    if len(run.repeats) > 1 and mine.overlaps(theirs):
        return [_said("time_same", language)]
    ratio = mine.median / theirs.median
    said = f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"
    return [_said("time_like", language) if said == "1" else _said("time", language, ratio=said)]


def _joined(clauses: list[str], language: str) -> str:
    between, end = ("；", "。") if language == "zh" else ("; ", ".")
    return between.join(clauses) + end


def _said(key: str, language: str, **facts: object) -> str:
    return SAID[key][language == "zh"].format(**facts)
