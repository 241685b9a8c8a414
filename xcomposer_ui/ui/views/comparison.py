"""A comparison on the page: verdict, table, charts, answers, distance from full precision, downloads."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.compare.divergence import Divergence
from xcomposer_ui.compare.execution import ComparisonProgress
from xcomposer_ui.compare.verdict import headline, host_bound, variant_name, variant_verdict, verdict
from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.metrics import metric_of, metrics
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import small
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.views.batch_summary import batch_summary, name_of
from xcomposer_ui.ui.views.charts import Bar, Curve, bars, depth, strip
from xcomposer_ui.ui.views.downloads import batch_downloads, downloads
from xcomposer_ui.ui.views.explanation import failure_card
from xcomposer_ui.ui.views.run_status import loading_label, optional_facts, waiting_message

CHARTS = {"latency_sec": "compare.chart.latency", "peak_memory_bytes": "compare.chart.memory"}
"""The metrics that are drawn as bars -> the text code of the title."""


def comparison_view(session: CompareSession, language: str, link: str = "") -> Markup:
    """The results on the Compare tab for `session`. link: the address that restores its settings."""
    comparison, batch = session.comparison, session.batch_total > 0
    has_runs = comparison is not None and bool(comparison.runs) and not batch
    return render(
        "comparison",
        language,
        stage=_stage(session, language),
        stopped_early=session.stopped_early,
        facts=" · ".join(optional_facts(session.request.question, language)) if session.request else "",
        batch=_batch(session, language) if batch else None,
        results=_results(comparison, language) if comparison is not None and has_runs else None,
        downloads=downloads(session.document, "comparison", link, language)
        if session.step is None and session.document is not None and not batch
        else None,
    )


def _batch(session: CompareSession, language: str) -> dict[str, Any]:
    """The summary of a batch; the comparison of each question is in the downloads only."""
    ended = session.step is None and bool(session.batch)
    return {
        "summary": batch_summary(session.batch, session.batch_total, language) if session.batch else "",
        "stopped": ended and len(session.batch) < session.batch_total,
        "downloads": batch_downloads(session.batch, language) if ended else "",
    }


def _stage(session: CompareSession, language: str) -> dict[str, Any] | None:
    """The step in progress and the share that is done; None when idle."""
    step = session.step
    if session.checking_fit:
        return {"text": text("fit.checking", language), "share": None, "question": None}
    if step is None:
        return None
    share = step.done / step.total if step.total else 0.0
    if not session.batch_total:
        return {"text": _stage_text(step, language), "share": share, "question": None}
    position = text("compare.stage.batch", language, n=len(session.batch) + 1, total=session.batch_total)
    return {
        "text": f"{position} · {_stage_text(step, language)}",
        "share": (len(session.batch) + share) / session.batch_total,
        "question": session.request.question.text if session.request else "",
    }


def _stage_text(step: ComparisonProgress, language: str) -> str:
    if isinstance(step.event, Waiting):
        return waiting_message(step.event).in_language(language)
    if isinstance(step.event, Loading):
        share = "" if step.event.fraction is None else f" {step.event.fraction:.0%}"
        return loading_label(step.event, language) + share
    if step.variant is None:
        return text("compare.stage.divergence", language)
    return text(f"compare.stage.{step.stage}", language, variant=variant_name(step.variant, language))


def _results(comparison: Comparison, language: str) -> dict[str, Any]:
    heads = [text(f"compare.{name}", language) for name in ("variant", "answer", "against_full")]
    return {
        "headline": headline(comparison, language) or verdict(comparison, language),
        "host_bound": host_bound(comparison, language),
        "comparison": comparison,
        "heads": heads + [text(metric.label, language) for metric in metrics("comparison")],
        "rows": [_row(comparison, run, language) for run in comparison.runs],
        "charts": [_bars(field, comparison, language) for field in CHARTS],
        "answers": _answers(comparison, language),
        "divergence": _divergence(comparison, language),
    }


def _row(comparison: Comparison, run: ComparedRun, language: str) -> dict[str, Any]:
    result, record = run.result, vars(run.result.measurement)
    notes = {}
    for metric in metrics("comparison"):
        spread = run.spread(metric.field) if metric.spread else None
        if spread is not None and len(run.repeats) > 1:
            ends = {"lowest": metric.shown(spread.lowest), "highest": metric.shown(spread.highest)}
            notes[metric.field] = text("compare.range", language, **ends)
    if run.weights_share is not None:
        notes["peak_memory_bytes"] = text("compare.share", language, share=f"{run.weights_share:.0%}")
    if (share := result.measurement.bandwidth_share) is not None:
        notes["tokens_per_sec"] = text("metric.rate.share", language, share=f"{share:.0%}")
    return {
        "name": name_of(run.variant, language),
        "dtype": result.weights_dtype,
        "answer": result.failure.line(language) if result.failure else result.answer or "",
        "verdict": variant_verdict(comparison, run, language),
        "figures": [(metric.of(record, language), notes.get(metric.field, "")) for metric in metrics("comparison")],
        "failure_card": failure_card(result.failure, language, result.strategy) if result.failure else None,
    }


def _bars(field: str, comparison: Comparison, language: str) -> Markup:
    """One bar a run: its value, the lowest and highest of the repeats, and the weights' part of the memory."""
    metric = metric_of(field)
    drawn = []
    for run in comparison.runs:
        measurement = run.result.measurement
        value = metric.value(vars(measurement))
        spread = run.spread(field) if metric.spread else None
        part = measurement.weights_bytes if field == "peak_memory_bytes" else None
        ends = (spread.lowest, spread.highest) if spread else (None, None)
        name = name_of(run.variant, language)
        drawn.append(Bar(name, run.result.weights_dtype, metric.shown(value), value, part, *ends))
    return bars(text(CHARTS[field], language), drawn)


def _answers(comparison: Comparison, language: str) -> list[dict[str, Any]]:
    """The whole answers, full precision's first; without a divergence no token is marked."""
    answered = [run for run in comparison.runs if run.answer is not None]
    return [
        {
            "name": name_of(run.variant, language),
            "dtype": run.variant.half,
            "strip": _strip(comparison.divergence_of(run), language),
            **_marked(run.answer or "", comparison.divergence_of(run), language),
        }
        for run in sorted(answered, key=lambda run: run is not comparison.full)
    ]


def _strip(entry: Divergence | None, language: str) -> Markup:
    """The error over depth, in small; "" without a divergence."""
    stages = [layer for layer in entry.layers if layer.is_block] if entry is not None else []
    broken = next((layer for layer in stages if layer.relative_error is None), None)
    errors = {layer.module: layer.relative_error for layer in stages if layer.relative_error is not None}
    if broken is not None:
        label = text("compare.strip.not_finite", language, module=broken.module)
    elif errors:
        ends = {"lowest": small(min(errors.values())), "highest": small(max(errors.values()))}
        label = text("compare.strip", language, module=max(errors, key=errors.__getitem__), **ends)
    else:
        return Markup()
    return strip([(layer.module, layer.relative_error) for layer in stages], label)


def _marked(answer: str, entry: Divergence | None, language: str) -> dict[str, Any]:
    """The answer before, at and after the first token that differs from full precision's."""
    n = None if entry is None else entry.first_different_token
    if entry is None or n is None:
        return {"before": answer if entry is None else "".join(entry.tokens), "token": None}
    token = entry.tokens[n] if n < len(entry.tokens) else ""
    return {
        "before": "".join(entry.tokens[:n]),
        "token": token if token.strip() else token + text("compare.end", language),
        "number": n + 1,
        "after": "".join(entry.tokens[n + 1 :]),
    }


def _divergence(comparison: Comparison, language: str) -> dict[str, Any] | None:
    found = comparison.divergences
    named = [(run, entry) for run in comparison.runs if (entry := comparison.divergence_of(run)) is not None]
    if not named:
        return None
    curves = [
        # Dotted, so that both curves are visible where autocast and unified agree.
        Curve(
            name_of(run.variant, language),
            run.variant.half,
            entry.layers,
            "dotted" if STRATEGIES[run.variant.strategy].autocast else "solid",
        )
        for run, entry in named
    ]
    rows = [_divergence_row(name_of(run.variant, language), entry, language) for run, entry in named]
    if found.floor is not None:
        floor = text("compare.floor", language)
        rows.append(_divergence_row(floor, found.floor, language))
        curves.append(Curve(floor, "float32", found.floor.layers, "floor"))
    labels = [metric.label for metric in metrics("divergence", "divergence")]
    return {
        "heads": [text(code, language) for code in ("compare.variant", *labels)],
        "rows": rows,
        "chart": depth(curves, language),
        "left_out": [name for name in ("floor", "no_float64", "layers") if name in found.reasons],
    }


def _divergence_row(name: str, entry: Divergence, language: str) -> tuple[str, list[str]]:
    cells = {metric.field: metric.of(vars(entry), language) for metric in metrics("divergence", "divergence")}
    if entry.first_non_finite_module is not None:
        module = entry.first_non_finite_module
        cells["largest_activation_share"] = text("compare.non_finite", language, module=module)
    return name, list(cells.values())
