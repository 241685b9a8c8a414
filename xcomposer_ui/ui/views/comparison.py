"""A comparison on the page: verdict, table, charts, answers, distance from full precision, what to take away."""

from __future__ import annotations

from xcomposer_ui.compare.comparison import ComparedRun, Comparison
from xcomposer_ui.compare.divergence import Divergence
from xcomposer_ui.compare.execution import ComparisonProgress
from xcomposer_ui.compare.verdict import variant_name, verdict
from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.strategies import REFERENCE, STRATEGIES
from xcomposer_ui.core.units import UNKNOWN, joined, memory, rate, seconds, significant
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.views.batch_summary import batch_summary, name_of
from xcomposer_ui.ui.views.charts import Bar, Curve, bars, depth
from xcomposer_ui.ui.views.downloads import downloads, downloads_of_many
from xcomposer_ui.ui.views.explanation import failure_card
from xcomposer_ui.ui.views.marks import dtype_chip, escaped
from xcomposer_ui.ui.views.run_status import loading_label

COLUMNS = ("variant", "weights", "answer", "like_full", "latency", "first", "rate", "memory")
DIVERGENCE_COLUMNS = ("variant", "max_logit", "kl", "top1", "activation")


def compared(session: CompareSession, language: str, link: str = "") -> str:
    """All that the tab shows of `session`. link: the address that restores its settings."""
    if session.many_total:
        return _stage(session, language) + _many(session, language)
    parts = [_stage(session, language)]
    comparison = session.comparison
    if comparison is not None and comparison.runs:
        parts += [
            f'<p class="xl-verdict-line">{escaped(verdict(comparison, language))}</p>',
            _notes(comparison, language),
            _table(comparison, language),
            _bars(comparison, language),
            _answers(comparison, language),
            _divergence(comparison, language),
            _failures(comparison, language),
        ]
    if session.step is None and session.document is not None:
        parts.append(downloads(session.document, "comparison", link, language))
    shown = "".join(part for part in parts if part)
    return shown or f'<p class="xl-quiet">{escaped(text("compare.empty", language))}</p>'


def _many(session: CompareSession, language: str) -> str:
    """Of many questions the tally alone: each one's own comparison is in the file."""
    if not session.many:
        return ""
    shown = batch_summary(session.many, session.many_total, language)
    if session.step is not None:
        return shown
    stopped = len(session.many) < session.many_total
    said = " ".join(text(key, language) for key in ("compare.stopped", "compare.many.on"))
    return (f'<p class="xl-quiet">{escaped(said)}</p>' if stopped else "") + shown + downloads_of_many(
        session.many, language
    )  # fmt: skip


def _stage(session: CompareSession, language: str) -> str:
    if session.judging:
        said = escaped(text("fit.checking", language))
        return f'<div class="xl-happened xl-comparing" aria-live="polite"><p class="xl-stage">{said}</p></div>'
    step = session.step
    if step is None:
        return ""
    said = escaped(_said(session, step, language))
    share = step.done / step.total if step.total else 0.0
    asked = ""
    if session.many_total:
        share = (len(session.many) + share) / session.many_total
        asked = f'<p class="xl-quiet">{escaped(session.request.question.text if session.request else "")}</p>'
    return (
        f'<div class="xl-happened xl-comparing" aria-live="polite"><p class="xl-stage">{said}</p>{asked}'
        f'<progress max="1" value="{share:.3f}" aria-label="{said}"></progress></div>'
    )


def _said(session: CompareSession, step: ComparisonProgress, language: str) -> str:
    batch_summary = text("compare.stage.many", language, n=len(session.many) + 1, total=session.many_total) + " · "
    head = batch_summary if session.many_total else ""
    if isinstance(step.event, Waiting):
        return head + text("compare.stage.waiting", language)
    if isinstance(step.event, Loading):
        share = "" if step.event.fraction is None else f" {step.event.fraction:.0%}"
        return head + loading_label(step.event, language) + share
    if step.variant is None:
        return head + text("compare.stage.divergence", language)
    return head + text(f"compare.stage.{step.stage}", language, variant=variant_name(step.variant, language))


def _notes(comparison: Comparison, language: str) -> str:
    notes = [text("compare.stopped", language)] if comparison.stopped else []
    notes += [text("compare.grouped", language)] if comparison.order == "grouped" else []
    return "".join(f'<p class="xl-quiet">{escaped(said)}</p>' for said in notes)


def _table(comparison: Comparison, language: str) -> str:
    rows = "".join(_row(comparison, run, language) for run in comparison.runs)
    return _section("compare.table", _tabled(COLUMNS, rows, language), language)


def _row(comparison: Comparison, run: ComparedRun, language: str) -> str:
    result, m = run.result, run.result.measurement
    spread = run.spread("latency_sec")
    several = spread is not None and len(run.repeats) > 1
    latency = escaped(joined(seconds(m.latency_sec)))
    if spread is not None and several:
        ends = (joined(seconds(spread.lowest)), joined(seconds(spread.highest)))
        latency += f"<small>{escaped(text('compare.range', language, lowest=ends[0], highest=ends[1]))}</small>"
    share = run.weights_share
    peak = escaped(joined(memory(m.peak_memory_bytes)))
    if share is not None:
        peak += f"<small>{escaped(text('compare.share', language, share=f'{share:.0%}'))}</small>"
    first, speed = escaped(joined(seconds(m.time_to_first_token_sec))), escaped(joined(rate(m.tokens_per_sec)))
    figures = (latency, first, speed, peak)
    failure = result.failure
    answer = (result.answer or "") if failure is None else failure.line(language)
    failed = "" if failure is None else " xl-failed"
    name = escaped(name_of(run.variant, language))
    return (
        f'<tr><td class="xl-name">{name}</td><td>{dtype_chip(result.weights_dtype)}</td>'
        f'<td class="xl-long{failed}" title="{escaped(answer)}"><span>{escaped(answer)}</span></td>'
        f"<td>{escaped(_like_full(comparison, run, language))}</td>"
        + "".join(f'<td class="xl-number">{figure}</td>' for figure in figures)
        + "</tr>"
    )


def _like_full(comparison: Comparison, run: ComparedRun, language: str) -> str:
    if run.result.failure is not None:
        return text("compare.failed", language)
    if run.variant.strategy == REFERENCE:
        return text("compare.itself", language)
    if not run.answers_agree:
        return text("compare.unsteady", language)
    found, same = comparison.divergence_of(run), comparison.same_as_full(run)
    if found is not None and found.first_different_token is not None:
        return text("compare.same_text" if same else "compare.parts", language, n=found.first_different_token)
    return UNKNOWN if same is None else text("compare.same" if same else "compare.other", language)


def _bars(comparison: Comparison, language: str) -> str:
    time, space = [], []
    for run in comparison.runs:
        m, name, dtype = run.result.measurement, name_of(run.variant, language), run.result.weights_dtype
        spread = run.spread("latency_sec")
        low, high = (spread.lowest, spread.highest) if spread else (None, None)
        time.append(Bar(name, dtype, joined(seconds(m.latency_sec)), m.latency_sec, low=low, high=high))
        space.append(Bar(name, dtype, joined(memory(m.peak_memory_bytes)), m.peak_memory_bytes, m.weights_bytes))
    charts = (("compare.chart.latency", time), ("compare.chart.memory", space))
    return f'<div class="xl-charts">{"".join(bars(text(key, language), values) for key, values in charts)}</div>'


def _answers(comparison: Comparison, language: str) -> str:
    """Each whole, full precision's first; what was not compared token by token has no mark."""
    rows = ""
    for run in sorted(comparison.runs, key=lambda run: run is not comparison.full):
        if run.answer is not None:
            entry = comparison.divergence_of(run)
            answer = escaped(run.answer) if entry is None else _marked(entry, language)
            rows += f"<dt>{escaped(name_of(run.variant, language))}</dt><dd>{answer}</dd>"
    return _section("compare.answers", f'<dl class="xl-answers">{rows}</dl>', language) if rows else ""


def _marked(entry: Divergence, language: str) -> str:
    n = entry.first_different_token
    if n is None:
        return escaped("".join(entry.tokens))
    here = entry.tokens[n] if n < len(entry.tokens) else ""
    shown = here if here.strip() else here + text("compare.end", language)
    title = escaped(f"{text('compare.differs', language)}: {n}")
    before, after = escaped("".join(entry.tokens[:n])), escaped("".join(entry.tokens[n + 1 :]))
    return f'{before}<mark class="xl-parts" title="{title}">{escaped(shown)}</mark>{after}'


def _divergence(comparison: Comparison, language: str) -> str:
    found = comparison.divergences
    named = [(run, entry) for run in comparison.runs if (entry := comparison.divergence_of(run)) is not None]
    if not named:
        return ""
    rows = "".join(_divergence_row(name_of(run.variant, language), entry, language) for run, entry in named)
    curves = [
        # Dotted, so that both curves are seen where autocast and unified compute the same.
        Curve(
            name_of(run.variant, language),
            run.variant.half,
            entry.layers,
            "dotted" if STRATEGIES[run.variant.strategy].autocast else "solid",
        )
        for run, entry in named
    ]
    if found.floor is not None:
        floor = text("compare.floor", language)
        rows += _divergence_row(floor, found.floor, language)
        curves.append(Curve(floor, "float32", found.floor.layers, "floor"))
    regions = (text("compare.depth.tower", language), text("compare.depth.language", language))
    chart = depth(text("compare.depth", language), regions, curves, text("compare.not_finite", language))
    how = f'<p class="xl-quiet">{escaped(text("compare.divergence.how", language))}</p>'
    left_out = [
        text(f"compare.reason.{name}", language) for name in ("floor", "no_float64", "layers") if name in found.reasons
    ]
    reasons = "".join(f'<p class="xl-quiet">{escaped(reason)}</p>' for reason in left_out)
    table = _tabled(DIVERGENCE_COLUMNS, rows, language)
    return _section("compare.divergence", f"{how}{table}{chart}{reasons}", language)


def _divergence_row(name: str, entry: Divergence, language: str) -> str:
    kl, share = entry.mean_kl_divergence, entry.largest_activation_share
    broken = entry.first_non_finite_module
    not_finite = text("compare.not_finite", language)
    largest = f"{share:.2%}" if share is not None and share >= 1e-4 else UNKNOWN if share is None else "< 0.01%"
    if broken is not None:
        largest = text("compare.non_finite", language, module=broken)
    cells = (
        not_finite if entry.max_abs_logit_difference is None else _small(entry.max_abs_logit_difference),
        not_finite if kl is None else text("compare.nats", language, value=_small(kl)),
        f"{entry.top1_agreement:.1%}",
        largest,
    )
    numbers = "".join(f'<td class="xl-number">{escaped(cell)}</td>' for cell in cells)
    return f'<tr><td class="xl-name">{escaped(name)}</td>{numbers}</tr>'


def _small(value: float) -> str:
    """A figure that may be tiny: with an exponent below a thousandth."""
    return significant(value) if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def _failure(result: RunResult, language: str) -> str:
    if result.failure is None:
        return ""
    return failure_card(result.failure, language, result.strategy)


def _failures(comparison: Comparison, language: str) -> str:
    shown, said = "", escaped(text("compare.failed", language))
    for run in comparison.runs:
        if run.result.failure is not None:
            head = f"{escaped(name_of(run.variant, language))}: {said}"
            card = _failure(run.result, language)
            shown += f'<details class="xl-happened xl-comparing"><summary>{head}</summary>{card}</details>'
    return shown


def _tabled(columns: tuple[str, ...], rows: str, language: str) -> str:
    heads = "".join(f'<th scope="col">{escaped(text(f"compare.{name}", language))}</th>' for name in columns)
    return (
        f'<div class="xl-scroll" role="region" tabindex="0" aria-label="{escaped(text("compare.table", language))}">'
        f'<table class="xl-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _section(key: str, content: str, language: str) -> str:
    return f'<section class="xl-runs"><h3>{escaped(text(key, language))}</h3>{content}</section>'
