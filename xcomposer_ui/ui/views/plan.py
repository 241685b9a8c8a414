"""A plan: what each strategy will need as bars and figures, and which cards hold it."""

from __future__ import annotations

from xcomposer_ui.core.memory_timeline import PHASES
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import UNKNOWN, joined, memory, seconds, significant
from xcomposer_ui.planning.plan import Plan, StrategyPlan
from xcomposer_ui.ui.plan_handlers import PlanSession
from xcomposer_ui.ui.plan_names import strategy_name
from xcomposer_ui.ui.views.marks import escaped
from xcomposer_ui.ui.views.memory_bars import MemoryBar, memory_bars

MEMORY_NAMES = {"as asked": "plan.memory.as_asked", "free here": "plan.memory.free_here"}


def plan_view(session: PlanSession, language: str) -> str:
    """The right side of the Plan tab for `session`."""
    if session.planning is not None:
        said = escaped(text("plan.running", language, model=session.planning))
        return (
            f'<div class="xl-happened xl-comparing" aria-live="polite"><p class="xl-stage">{said}</p>'
            f'<progress max="1" aria-label="{said}"></progress></div>'
        )
    if session.plan is None:
        return f'<p class="xl-quiet">{escaped(text("plan.empty", language))}</p>'
    plan = session.plan
    parts = (_allocated(plan, language), _on_card(plan, language), _figures(plan, language), _cards(plan, language))
    return (
        f'<div class="xl-plan"><section class="xl-runs"><header><h3>{escaped(plan.model)}</h3></header>'
        f'<p class="xl-quiet">{escaped(_about(plan, language))}</p></section>'
        f"{''.join(parts)}</div>"
    )


def _about(plan: Plan, language: str) -> str:
    small = plan.parameters < 1e8
    # Chinese counts in hundreds of millions, and in tens of thousands.
    unit = (1e6 if small else 1e9) if language == "en" else (1e4 if small else 1e8)
    key = "plan.parameters.small" if small else "plan.parameters"
    parameters = text(key, language, n=significant(plan.parameters / unit))
    said = f"{parameters} · " + text(
        "plan.about",
        language,
        prompt=plan.prompt_tokens,
        image=plan.image_tokens,
        new=plan.request.new_tokens,
        batch=plan.request.batch,
        sec=joined(seconds(plan.planned_sec)),
    )
    if plan.memory_bytes is None:
        return said
    fitted = joined(memory(plan.memory_bytes))
    return f"{said}. {text('plan.about.memory', language, memory=fitted, name=_memory_name(plan, language))}"


def _memory_name(plan: Plan, language: str) -> str:
    name = plan.memory_name or ""
    return text(MEMORY_NAMES[name], language) if name in MEMORY_NAMES else name


def _allocated(plan: Plan, language: str) -> str:
    bars = []
    for strategy in plan.strategies:
        peak = strategy.phases[strategy.peak_phase]
        parts = strategy.weights_bytes, peak.cache_bytes, peak.activation_bytes
        bars.append(MemoryBar(strategy_name(strategy.strategy, language), parts))
    legend = [text(f"plan.{part}", language) for part in ("weights", "cache", "activations")]
    # Free memory of a CPU is compared with live tensors; a card's with what the driver counts, in the other figure.
    line = _line(plan, language) if _on_cpu(plan) else None
    return memory_bars(text("plan.allocated", language), legend, bars, line)


def _on_card(plan: Plan, language: str) -> str:
    legend = [text(f"plan.{part}", language) for part in ("tensors", "blocks", "context")]
    bars = [
        MemoryBar(
            strategy_name(strategy.strategy, language),
            (strategy.on_card.allocated_bytes, strategy.on_card.reserved_bytes, strategy.on_card.context_bytes),
        )
        for strategy in plan.strategies
    ]
    return memory_bars(text("plan.on_card", language), legend, bars, None if _on_cpu(plan) else _line(plan, language))


def _on_cpu(plan: Plan) -> bool:
    return plan.memory_name == "free here"


def _line(plan: Plan, language: str) -> tuple[int, str] | None:
    if plan.memory_bytes is None:
        return None
    return plan.memory_bytes, text("plan.line", language, memory=joined(memory(plan.memory_bytes)))


def _figures(plan: Plan, language: str) -> str:
    tiled = any(strategy.largest_hd_num is not None for strategy in plan.strategies)
    columns = ["strategy", "weights", "cache", *PHASES, "total", "peak", "card", "batch", *(["tiles"] if tiled else [])]
    head = "".join(f'<th scope="col">{escaped(text(f"plan.column.{name}", language))}</th>' for name in columns)
    rows = "".join(_figure_row(strategy, tiled, language) for strategy in plan.strategies)
    return _table("plan.figures", head, rows, language)


def _figure_row(plan: StrategyPlan, tiled: bool, language: str) -> str:
    phases = [plan.phases[phase].activation_bytes if phase in plan.phases else None for phase in PHASES]
    cells = [joined(memory(size)) for size in (plan.weights_bytes, plan.kv_cache_bytes, *phases, plan.total_bytes)]
    cells += [text(f"plan.column.{plan.peak_phase}", language), joined(memory(plan.on_card.total_bytes))]
    counts = [plan.largest_batch, *([plan.largest_hd_num] if tiled else [])]
    cells += [UNKNOWN if count is None else str(count) for count in counts]
    clash = ""
    if plan.fails_in is not None:
        phase = text(f"plan.column.{plan.fails_in}", language).lower()
        clash = f"<small>{escaped(text('plan.clash', language, phase=phase))}</small>"
    figures = "".join(f'<td class="xl-number">{escaped(cell)}</td>' for cell in cells)
    name = escaped(strategy_name(plan.strategy, language))
    return f'<tr data-strategy="{escaped(plan.strategy)}"><td>{name}{clash}</td>{figures}</tr>'


def _cards(plan: Plan, language: str) -> str:
    names = list(plan.strategies[0].fits)
    here = text("plan.here", language)
    head = f'<th scope="col">{escaped(text("plan.column.strategy", language))}</th>'
    head += "".join(f'<th scope="col">{escaped(name.replace("(here)", here))}</th>' for name in names)
    rows = ""
    for strategy in plan.strategies:
        cells = "".join(_verdict(strategy.fits[name], language) for name in names)
        rows += f"<tr><td>{escaped(strategy_name(strategy.strategy, language))}</td>{cells}</tr>"
    return _table("plan.cards", head, rows, language)


def _verdict(fits: bool, language: str) -> str:
    said = escaped(text("plan.fits" if fits else "plan.too_large", language))
    kind, mark = ("xl-fits", "✓") if fits else ("xl-failed", "✕")
    hidden = f'<span class="xl-said">{said}</span>'
    return f'<td class="{kind}" title="{said}"><span aria-hidden="true">{mark}</span>{hidden}</td>'


def _table(title: str, head: str, rows: str, language: str) -> str:
    return (
        f'<section class="xl-runs"><header><h3>{escaped(text(title, language))}</h3></header><div class="xl-scroll">'
        f'<table class="xl-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )
