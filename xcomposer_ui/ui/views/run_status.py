"""What happened: the stage of a run in progress, then the way of its dtypes, or the failure card."""

from __future__ import annotations

from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.strategies import STRATEGIES, Strategy
from xcomposer_ui.core.units import joined, seconds
from xcomposer_ui.ui.session import CheckingFit, Session
from xcomposer_ui.ui.views.explanation import strategy_label
from xcomposer_ui.ui.views.failure import failure_card
from xcomposer_ui.ui.views.marks import dtype_chip, escaped


def run_status(session: Session, language: str) -> str:
    """The panel under the tiles for `session` as it stands."""
    return f'<div class="xl-happened" aria-live="polite">{_content(session, language)}</div>'


def _content(session: Session, language: str) -> str:
    if session.running is not None:
        return _in_progress(session, session.running.strategy, language)
    if session.last is None:
        return f'<p class="xl-quiet">{escaped(text("happened.empty", language))}</p>'
    if session.last.failure is not None:
        return failure_card(session.last.failure, language, session.last.strategy)
    return answered(session.last, session.turns[-1].request.file is not None, language)


def _in_progress(session: Session, strategy: str, language: str) -> str:
    label, fraction = text("happened.running", language, strategy=strategy_label(strategy, language)), None
    if isinstance(session.stage, Waiting):
        label = text("happened.waiting", language)
    elif isinstance(session.stage, CheckingFit):
        label = text("fit.checking", language)
    elif isinstance(session.stage, Loading):
        label = loading_label(session.stage, language)
        fraction = session.stage.fraction
    value = "" if fraction is None else f' value="{fraction:.2f}"'
    share = "" if fraction is None else f" {fraction:.0%}"
    said = escaped(label)
    return f'<p class="xl-stage">{said}{share}</p><progress max="1"{value} aria-label="{said}"></progress>'


def loading_label(loading: Loading, language: str) -> str:
    """What is being brought: from the hub, or into memory."""
    if loading.stage == "download":
        return text("happened.downloading", language, model=loading.model)
    return text("happened.loading", language, model=loading.model, dtype=loading.dtype)


def answered(result: RunResult, with_picture: bool, language: str) -> str:
    """How picture, weights and arithmetic got their dtypes in a run that answered (or was stopped)."""
    strategy = STRATEGIES[result.strategy]
    stopped = f"<p>{escaped(text('happened.stopped', language))}</p>" if result.stopped else ""
    key = "path.as_is.text_only" if strategy.name == "as_is" and not with_picture else f"path.{strategy.name}"
    return (
        f'<section class="xl-card xl-answered"><h3>{escaped(strategy_label(strategy.name, language))}</h3>'
        f"{_path(strategy, result, with_picture, language)}{stopped}"
        f"<p>{escaped(text(key, language, half=result.half))}</p>{_facts(result, language)}</section>"
    )


def _path(strategy: Strategy, result: RunResult, with_picture: bool, language: str) -> str:
    """picture float32 → weights float16 → matrix products float16, each arrow named by its cast."""
    products = result.half if strategy.autocast else result.weights_dtype
    steps = [_step("weights", result.weights_dtype, language), _step("products", products, language)]
    arrow = _arrow("path.cast_by_autocast" if strategy.autocast else None, language)
    if with_picture:
        image = strategy.image_dtype(result.half)
        first = [_step("picture", "float32", language)]
        if image != "float32":
            first += [_arrow("path.cast_before", language), dtype_chip(image)]
        steps = ["".join(first), *steps]
    label = escaped(text("path", language))
    return f'<p class="xl-path" role="group" aria-label="{label}">{_interleaved(steps, arrow, language)}</p>'


def _interleaved(steps: list[str], last_arrow: str, language: str) -> str:
    plain = _arrow(None, language)
    return plain.join(steps[:-1]) + last_arrow + steps[-1]


def _step(name: str, dtype: str, language: str) -> str:
    return f'<span class="xl-step"><small>{escaped(text(f"path.{name}", language))}</small>{dtype_chip(dtype)}</span>'


def _arrow(key: str | None, language: str) -> str:
    label = f"<small>{escaped(text(key, language))}</small>" if key else ""
    return f'<span class="xl-arrow">{label}<i aria-hidden="true"></i></span>'


def _facts(result: RunResult, language: str) -> str:
    m = result.measurement
    facts = [result.model, result.device]
    if m.prompt_tokens is not None:
        facts.append(text("facts.prompt", language, n=m.prompt_tokens))
    if m.reused_tokens:
        facts.append(text("facts.reused", language, n=m.reused_tokens))
    if m.reused_picture:
        facts.append(text("facts.reused_picture", language))
    if m.new_tokens is not None:
        facts.append(text("facts.new", language, n=m.new_tokens))
    facts += [
        text(f"facts.{name}", language, n=value)
        for name, value in result.request.tile_settings.items()
        if value is not None
    ]
    facts.append(text("facts.seed", language, n=result.request.seed))
    if m.load_sec is not None:
        facts.append(text("facts.load", language, sec=joined(seconds(m.load_sec))))
    return f'<p class="xl-quiet">{escaped(" · ".join(facts))}</p>'
