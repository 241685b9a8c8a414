"""Views of plans: each strategy's memory and cards, the errors of predictions, and the check of the machine."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from xcomposer_ui.core.memory_timeline import PHASES
from xcomposer_ui.core.messages import Message, text
from xcomposer_ui.core.request import MOST_TILES
from xcomposer_ui.core.strategies import STRATEGIES, strategy_name
from xcomposer_ui.core.units import joined, memory, seconds
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.planning.plan import MOST_BATCH, Plan, StrategyPlan, largest_shown, parameter_count
from xcomposer_ui.planning.predictions import PredictionError
from xcomposer_ui.planning.training_answer import memory_name
from xcomposer_ui.planning.training_plan import TrainingPlan
from xcomposer_ui.ui.html import macro, render
from xcomposer_ui.ui.plan_handlers import PlanSession
from xcomposer_ui.ui.views.charts import MemoryBar, memory_bars
from xcomposer_ui.ui.views.training_plan import training_plan_view

ERROR_COLUMNS = ("strategy", "tokens", "predicted", "measured", "error")


def plan_view(session: PlanSession, language: str) -> Markup:
    """The right side of the Plan tab for `session`."""
    if session.planning is not None:
        return render("planning", language, model=session.planning)
    if session.plan is None:
        return macro("quiet", language, Message("plan.empty"))
    plan = session.plan
    if isinstance(plan, TrainingPlan):
        line = _line(plan, language) if _on_cpu(plan) else None
        return training_plan_view(plan, parameter_count(plan.parameters, language), line, language)
    tiled = any(strategy.largest_tiles is not None for strategy in plan.strategies)
    more = ("tiles",) if tiled else ()
    columns = ("strategy", "weights", "cache", *PHASES, "total", "peak", "card", "batch", *more)
    charts = [_allocated(plan, language)] if _on_cpu(plan) else [_allocated(plan, language), _on_card(plan, language)]
    return render(
        "plan",
        language,
        plan=plan,
        headline=_headline(session, plan, language),
        about=_about(plan, language),
        charts=charts,
        figure_heads=[Message(f"plan.column.{name}") for name in columns],
        figure_rows=[(strategy, _figures(strategy, tiled)) for strategy in plan.strategies],
        card_heads=[
            Message("plan.column.strategy"),
            *(card.replace("(here)", text("plan.here", language)) for card in plan.strategies[0].fits),
        ],
    )


def check_panel(check: Check | None, language: str) -> Markup:
    """`check` of this machine as a table. check: None until it is known."""
    return render("check", language, check=check)


def pairs_view(pairs: Sequence[PredictionError], language: str) -> Markup:
    """Predicted and measured memory of each run, newest first. pairs: oldest first."""
    if not pairs:
        return Markup()
    heads = [Message(f"prediction_error.{name}") for name in ERROR_COLUMNS]
    return render("prediction_errors", language, heads=heads, pairs=pairs[::-1], percent=_percent)


def _headline(session: PlanSession, plan: Plan, language: str) -> str:
    """Which of the lab's strategies fit the memory, with what they need; "" where that memory is unknown."""
    if plan.memory_bytes is None:
        return ""
    memory_name = joined(memory(plan.memory_bytes)) if session.card is None else session.card.name
    offered = [strategy for strategy in plan.strategies if strategy.strategy in STRATEGIES]
    groups = (
        ("fits", [strategy for strategy in offered if strategy.fits_memory and not strategy.fails_in]),
        ("too_large", [strategy for strategy in offered if strategy.fits_memory is False and not strategy.fails_in]),
        ("fails", [strategy for strategy in offered if strategy.fails_in]),
    )
    parts = [
        text(f"plan.headline.{name}", language, names=_names(group, plan, language)) for name, group in groups if group
    ]
    return text("plan.headline", language, memory=memory_name, parts=text("plan.headline.and", language).join(parts))


def _names(strategies: Sequence[StrategyPlan], plan: Plan, language: str) -> str:
    """The strategies' names, after those with the same need what that is."""
    needs: dict[str, list[str]] = {}
    for strategy in strategies:
        need = strategy.total_bytes if _on_cpu(plan) else strategy.on_card.total_bytes
        shown = "" if strategy.fails_in else joined(memory(need))
        needs.setdefault(shown, []).append(strategy_name(strategy.strategy, language))
    separator = text("list.separator", language)
    listed = ((separator.join(names), need) for need, names in needs.items())
    return separator.join(
        text("plan.headline.need", language, names=names, need=need) if need else names for names, need in listed
    )


def _about(plan: Plan, language: str) -> str:
    about = f"{parameter_count(plan.parameters, language)} · " + text(
        "plan.summary",
        language,
        prompt=plan.prompt_tokens,
        image=plan.image_tokens,
        new=plan.request.new_tokens,
        batch=plan.request.batch,
        sec=joined(seconds(plan.planned_sec)),
    )
    if plan.memory_bytes is not None:
        name = memory_name(plan.memory_name or "", language)
        limit = joined(memory(plan.memory_bytes))
        about = f"{about}. {text('plan.summary.memory', language, memory=limit, name=name)}"
    decoder = max(strategy.on_card.decoder_bytes for strategy in plan.strategies)
    if decoder and not _on_cpu(plan):
        about = f"{about} {text('plan.summary.decoder', language, memory=joined(memory(decoder)))}"
    return about


def _allocated(plan: Plan, language: str) -> Markup:
    bars = []
    for strategy in plan.strategies:
        peak = strategy.phases[strategy.peak_phase]
        parts = strategy.weights_bytes, peak.cache_bytes, peak.activation_bytes
        bars.append(MemoryBar(strategy_name(strategy.strategy, language), parts))
    legend = [text(f"plan.{part}", language) for part in ("weights", "cache", "activations")]
    # A CPU's free memory is compared with live tensors; a card's with the driver's count, in the other figure.
    line = _line(plan, language) if _on_cpu(plan) else None
    return memory_bars(text("plan.allocated", language), legend, bars, line)


def _on_card(plan: Plan, language: str) -> Markup:
    legend = [text(f"plan.{part}", language) for part in ("tensors", "blocks", "context")]
    bars = [
        MemoryBar(
            strategy_name(strategy.strategy, language),
            (strategy.on_card.allocated_bytes, strategy.on_card.reserved_bytes, strategy.on_card.context_bytes),
        )
        for strategy in plan.strategies
    ]
    return memory_bars(text("plan.on_card", language), legend, bars, _line(plan, language))


def _on_cpu(plan: Plan | TrainingPlan) -> bool:
    return plan.memory_name == "free here"


def _line(plan: Plan | TrainingPlan, language: str) -> tuple[int, str] | None:
    if plan.memory_bytes is None:
        return None
    return plan.memory_bytes, text("plan.line", language, memory=joined(memory(plan.memory_bytes)))


def _figures(plan: StrategyPlan, tiled: bool) -> list[str | Message]:
    phases = [plan.phases[phase].activation_bytes if phase in plan.phases else None for phase in PHASES]
    tiles = (largest_shown(plan.largest_tiles, MOST_TILES),) if tiled else ()
    return [
        *(joined(memory(size)) for size in (plan.weights_bytes, plan.kv_cache_bytes, *phases, plan.total_bytes)),
        Message(f"plan.column.{plan.peak_phase}"),
        joined(memory(plan.on_card.total_bytes)),
        largest_shown(plan.largest_batch, MOST_BATCH),
        *tiles,
    ]


def _percent(share: float) -> str:
    """A share with its sign, in percent: +0.02 %; what rounds to zero has none."""
    percent = round(100 * share, 2)
    return f"{percent:+.2f} %".replace("-", "−") if percent else "0.00 %"
