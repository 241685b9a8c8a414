"""One sentence that follows from the figures of a comparison, in English or Chinese."""

from __future__ import annotations

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.strategies import STRATEGIES

NAMES = {
    "as_is": ("{half} as reported", "{half} 原样运行"),
    "autocast": ("{half} under autocast", "autocast 下的 {half}"),
    "unified": ("unified {half}", "统一为 {half}"),
    "full": ("full precision", "全精度"),
}

SAID = {
    "none": ("Nothing has been measured yet.", "尚无测量结果。"),
    "no_full": ("Full precision gave no answer: there is nothing to compare with.", "全精度没有给出回答，无从比较。"),
    "alone": ("Full precision answered; nothing else has been measured yet.", "全精度已回答；其他尚未测量。"),
    "against": ("Against full precision: ", "与全精度相比："),
    "same": ("same answer", "回答相同"),
    "other": ("another answer", "回答不同"),
    "parts": ("another answer from token {n} on", "从第 {n} 个词元起回答不同"),
    "memory": ("{share} % of the memory", "内存为其 {share}%"),
    "time": ("{ratio} × the time", "用时为其 {ratio} 倍"),
    "time_same": ("no difference in time beyond the repeats' own spread", "用时差异未超出多次测量自身的波动"),
    "fails": ("{name} fails ({type})", "{name} 失败（{type}）"),
    "stopped": ("{name} was stopped", "{name} 被停止"),
}


def verdict(comparison: Comparison, language: str = "en") -> str:
    """What full precision's alternatives cost and give; ratios of medians, time only where the ranges part."""
    if not comparison.runs:
        return _said("none", language)
    full = comparison.full
    others = [run for run in comparison.runs if run.variant.strategy != "full"]
    if full is None:
        return _said("no_full", language)
    if not others:
        return _said("alone", language)
    clauses = [_clause(comparison, full, run, language) for run in others]
    between, end = ("；", "。") if language == "zh" else ("; ", ".")
    return _said("against", language) + between.join(clauses) + end


def variant_name(run: ComparedRun, language: str) -> str:
    """A variant in words: "float16 under autocast"."""
    strategy = run.variant.strategy
    if strategy not in NAMES:
        return run.variant.name
    half = run.variant.half if STRATEGIES[strategy].weights == "half" else ""
    return NAMES[strategy][language == "zh"].format(half=half)


def _clause(comparison: Comparison, full: ComparedRun, run: ComparedRun, language: str) -> str:
    name = variant_name(run, language)
    result = run.result
    if result.failure is not None:
        return _said("fails", language, name=name, type=result.failure.type)
    if result.stopped:
        return _said("stopped", language, name=name)
    parts = [_answer(comparison, run, language)]
    mine, theirs = result.measurement.peak_memory_bytes, full.result.measurement.peak_memory_bytes
    if mine and theirs:
        parts.append(_said("memory", language, share=f"{100 * mine / theirs:.0f}"))
    time, full_time = run.spread("latency_sec"), full.spread("latency_sec")
    if time and full_time and full_time.median:
        if len(run.repeats) > 1 and time.overlaps(full_time):
            parts.append(_said("time_same", language))
        else:
            parts.append(_said("time", language, ratio=f"{time.median / full_time.median:.2g}"))
    colon, comma = ("：", "，") if language == "zh" else (": ", ", ")
    return name + colon + comma.join(parts)


def _answer(comparison: Comparison, run: ComparedRun, language: str) -> str:
    divergence = comparison.divergence_of(run)
    if divergence is not None and divergence.first_different_token is not None:
        return _said("parts", language, n=divergence.first_different_token)
    return _said("same" if comparison.same_as_full(run) else "other", language)


def _said(key: str, language: str, **facts: object) -> str:
    return SAID[key][language == "zh"].format(**facts)
