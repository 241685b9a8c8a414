"""One sentence that summarises the figures of a comparison."""

from __future__ import annotations

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.messages import sentences, text
from xcomposer_ui.core.strategies import REFERENCE, STRATEGIES


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
    return text("verdict.against", language, clauses=_listed(clauses, language))


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
    clauses = _listed([_outcome(run, language) for run in shown], language)
    if failure is None:
        return text("verdict.unmeasured", language, clauses=clauses)
    if not others:
        return text("verdict.failed_alone", language, type=failure.type)
    if answered:
        return text("verdict.failed", language, type=failure.type, clauses=clauses)
    return text("verdict.all_failed", language, clauses=clauses)


def _listed(clauses: list[str], language: str) -> str:
    return text("verdict.clauses", language).join(clauses)


def _clause(comparison: Comparison, full: ComparedRun, run: ComparedRun, language: str) -> str:
    if run.answer is None or run.result.stopped:
        return _outcome(run, language)
    parts = [_answer(comparison, run, language)]
    mine, theirs = run.result.measurement.peak_memory_bytes, full.result.measurement.peak_memory_bytes
    if mine and theirs:
        parts.append(text("verdict.memory", language, share=f"{100 * mine / theirs:.0f}"))
    parts += _time(full, run, language)
    joined = text("verdict.parts", language).join(parts)
    return text("verdict.clause", language, name=variant_name(run.variant, language), parts=joined)


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
        return text("verdict.answer.same_text" if same else "verdict.answer.differs", language, n=token)
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
