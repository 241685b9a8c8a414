"""What the figures of a comparison amount to: a headline, a verdict on each variant, and both as one sentence."""

from __future__ import annotations

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.strategies import REFERENCE, STRATEGIES
from xcomposer_ui.core.units import UNKNOWN


def verdict(comparison: Comparison, language: str = "en") -> str:
    """Answers, memory and time of each variant relative to full precision, as ratios of medians.

    The ratio of times is given only where the ranges of the repeats do not overlap.
    """
    others = [run for run in comparison.runs if run.variant.strategy != REFERENCE]
    if not comparison.runs:
        return text("verdict.none", language)
    if comparison.full is not None and not others:
        return text("verdict.alone", language)
    if comparison.full is None:
        return _without_full(comparison, others, language)
    clauses = [_clause(comparison, comparison.full, run, language) for run in others]
    return text("verdict.against", language, clauses=text("verdict.clauses", language).join(clauses))


def headline(comparison: Comparison, language: str = "en") -> str:
    """The comparison in a few words; "" without full precision's answer, or without any other variant's."""
    others = [run for run in comparison.runs if run.variant.strategy != REFERENCE]
    if comparison.full is None or not others:
        return ""
    answered = [run for run in others if run.answer is not None]
    same = [run for run in answered if run.answers_agree and comparison.same_as_full(run)]
    failed = sum(run.result.failure is not None for run in others)
    if not answered:
        parts = []
    elif len(same) < len(answered):
        parts = [text("verdict.headline.differs", language, n=len(answered) - len(same), total=len(answered))]
    else:
        shares = [share for run in same if (share := _memory_share(comparison.full, run)) is not None]
        parts = [_least_memory(min(shares, default=100), language)]
    if failed:
        parts.append(text("verdict.headline.failed", language, n=failed))
    return text("verdict.clauses", language).join(parts)


HOST_BOUND_SHARE = 0.35
"""Share of a copy's bandwidth below which decoding waits for the host: launched kernel by kernel, a 7B model reached
0.04 to 0.15 on an H200, and in a graph 0.44 and more."""


def host_bound(comparison: Comparison, language: str = "en") -> str:
    """The warning that decoding waited for the host that launches its kernels; "" where it did not, or is unknown."""
    shares = [s for run in comparison.runs if (s := run.result.measurement.bandwidth_share) is not None]
    if not shares or min(shares) >= HOST_BOUND_SHARE:
        return ""
    return text("compare.host_bound", language, share=f"{min(shares):.0%}", waited=f"{1 - min(shares):.0%}")


def _least_memory(share: int, language: str) -> str:
    """The headline where every answer is the same. share: the least memory, in percent of full precision's."""
    if 45 <= share <= 55:
        return text("verdict.headline.half", language)
    if share < 95:
        return text("verdict.headline.share", language, share=share)
    return text("verdict.headline.same", language)


def _memory_share(full: ComparedRun, run: ComparedRun) -> int | None:
    """The run's peak memory in percent of full precision's; None where either was not measured."""
    mine, theirs = run.result.measurement.peak_memory_bytes, full.result.measurement.peak_memory_bytes
    return round(100 * mine / theirs) if mine and theirs else None


def variant_verdict(comparison: Comparison, run: ComparedRun, language: str) -> str:
    """One variant relative to full precision: its answer, memory and time, or its failure."""
    if run.result.failure is not None:
        return text("verdict.row.fails", language, type=run.result.failure.type)
    if run.variant.strategy == REFERENCE:
        return text("compare.reference", language)
    if comparison.full is None or run.answer is None or run.result.stopped:
        return UNKNOWN
    return _parts(comparison, comparison.full, run, language)


def variant_name(variant: Variant, language: str) -> str:
    """A variant in words: "float16 under autocast"."""
    key = f"verdict.name.{variant.strategy}"
    if key not in sentences(language):
        return variant.name
    half = variant.half if STRATEGIES[variant.strategy].uses_half else ""
    return text(key, language, half=half)


def _without_full(comparison: Comparison, others: list[ComparedRun], language: str) -> str:
    """Which variants answered and which failed, where full precision has no answer, or none yet."""
    full = next((run for run in comparison.runs if run.variant.strategy == REFERENCE), None)
    failure = None if full is None else full.result.failure
    answered = any(run.answer is not None for run in others)
    shown = others if failure is None or answered else list(comparison.runs)
    clauses = text("verdict.clauses", language).join(_outcome(run, language) for run in shown)
    if failure is None:
        return text("verdict.unmeasured", language, clauses=clauses)
    if not others:
        return text("verdict.failed_alone", language, type=failure.type)
    if answered:
        return text("verdict.failed", language, type=failure.type, clauses=clauses)
    return text("verdict.all_failed", language, clauses=clauses)


def _clause(comparison: Comparison, full: ComparedRun, run: ComparedRun, language: str) -> str:
    if run.answer is None or run.result.stopped:
        return _outcome(run, language)
    parts = _parts(comparison, full, run, language)
    return text("verdict.clause", language, name=variant_name(run.variant, language), parts=parts)


def _parts(comparison: Comparison, full: ComparedRun, run: ComparedRun, language: str) -> str:
    """Answer, memory and time of a run that answered, relative to full precision's."""
    parts = [_answer(comparison, run, language)]
    share = _memory_share(full, run)
    if share is not None:
        parts.append(text("verdict.memory", language, share=share))
    return text("verdict.parts", language).join(parts + _time(full, run, language))


def _outcome(run: ComparedRun, language: str) -> str:
    name = variant_name(run.variant, language)
    if language == "zh" and name[-1].isascii():
        name += " "  # between Latin and Chinese letters
    if run.result.failure is not None:
        return text("verdict.fails", language, name=name, type=run.result.failure.type)
    return text("verdict.stopped" if run.result.stopped else "verdict.answered", language, name=name)


def _answer(comparison: Comparison, run: ComparedRun, language: str) -> str:
    if not run.answers_agree:
        return text("verdict.answer.unsteady", language)
    divergence = comparison.divergence_of(run)
    token = None if divergence is None else divergence.first_different_token
    same = comparison.same_as_full(run)
    if token is not None:
        return text("verdict.answer.same_text" if same else "verdict.answer.differs", language, n=token + 1)
    return text("verdict.answer.same" if same else "verdict.answer.other", language)


def _time(full: ComparedRun, run: ComparedRun, language: str) -> list[str]:
    mine, theirs = run.spread("latency_sec"), full.spread("latency_sec")
    if mine is None or theirs is None or not theirs.median:
        return []
    if len(run.repeats) > 1 and mine.overlaps(theirs):
        return [text("verdict.time.same", language)]
    ratio = mine.median / theirs.median
    figure = f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"
    return [text("verdict.time.like", language) if figure == "1" else text("verdict.time", language, ratio=figure)]
