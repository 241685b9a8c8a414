"""The panel of the current run: its stage while it is in progress, then its dtypes or its failure."""

from __future__ import annotations

from markupsafe import Markup

from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.messages import Message, sentences, text, worded
from xcomposer_ui.core.request import OPTIONAL_SETTINGS, Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.strategies import STRATEGIES, strategy_name
from xcomposer_ui.core.units import joined, seconds
from xcomposer_ui.ui.html import macro, render, short_name
from xcomposer_ui.ui.session import CheckingFit, Session
from xcomposer_ui.ui.views.explanation import failure_card


def run_status(session: Session, language: str) -> Markup:
    """The panel under the tiles for the current state of `session`; empty before its first run."""
    if session.running is None and session.last is None:
        return Markup()
    return render("run_status", language, content=_content(session, language), busy=session.trials is not None)


def loading_view(stage: Waiting | Loading | None, ready: str | None, language: str) -> Markup:
    """The panel of a change of model. stage: of its loading, None at its end. ready: the model just loaded."""
    if stage is not None:
        return render("run_status", language, content=_stage(stage, language), busy=False)
    if ready is None:
        return Markup()
    content = macro("quiet", language, Message("models.ready", model=ready))
    return render("run_status", language, content=content, busy=False)


def waiting_message(stage: Waiting) -> Message:
    """The place in the queue, and what runs now."""
    if stage.work is None:
        return Message("status.waiting")
    return Message(
        "status.waiting.next" if stage.ahead < 2 else "status.waiting.queue", ahead=stage.ahead, work=stage.work
    )


def loading_label(loading: Loading, language: str) -> str:
    """The model that is being downloaded from the hub, or loaded into memory and in which dtype; or the wait for a card
    that is lent."""
    if loading.stage == "card":
        return text("status.card", language)
    if loading.stage == "download":
        return text("status.downloading", language, model=loading.model)
    return text("status.loading", language, model=short_name(loading.model), dtype=loading.dtype)


def answered(result: RunResult, with_picture: bool, language: str) -> Markup:
    """The dtypes of picture, weights and arithmetic in a run that answered or was stopped."""
    strategy = STRATEGIES[result.strategy]
    key = strategy.key("path.{name}")
    if not with_picture and f"{key}.text_only" in sentences("en"):
        key += ".text_only"
    return render(
        "answered",
        language,
        result=result,
        picture=strategy.image_dtype(result.half) if with_picture else None,
        autocast=strategy.autocast,
        products=result.half if strategy.autocast else result.weights_dtype,
        why=key if key == strategy.name else Message(key, half=result.half),
        facts=" · ".join(_facts(result, language)),
    )


def _content(session: Session, language: str) -> Markup:
    if session.trials is not None and session.running is not None:
        trials = session.trials
        return failure_card(trials.failure, language, session.running.strategy, pending=trials.pending)
    if session.running is not None:
        return _stage(session.stage, language, session.running.strategy)
    assert session.last is not None
    if session.last.failure is not None:
        return failure_card(session.last.failure, language, session.last.strategy, buttons="try")
    turn = session.turns[-1]
    return answered(session.last, bool(turn.request.file or turn.thumbnail), language)


def _stage(stage: Waiting | CheckingFit | Loading | None, language: str, strategy: str = "") -> Markup:
    """The stage of a run under `strategy` with its progress. stage: None while the model computes."""
    if isinstance(stage, Loading):
        return macro("stage", language, loading_label(stage, language), stage.fraction)
    if isinstance(stage, Waiting):
        return macro("stage", language, waiting_message(stage))
    if isinstance(stage, CheckingFit):
        return macro("stage", language, Message("fit.checking"))
    return macro("stage", language, Message("status.running", strategy=strategy_name(strategy, language)))


def optional_facts(request: Request, language: str) -> list[str]:
    """The settings of `request` that are not the model's own, such as a stress of the range."""
    given = {name: getattr(request, name) for name in OPTIONAL_SETTINGS}
    return [text(f"facts.{name}", language, n=n) for name, n in given.items() if n]


def _facts(result: RunResult, language: str) -> list[str]:
    m = result.measurement
    facts = [short_name(result.model), result.device]
    if workers := result.reasons.get("workers"):
        facts.append(worded(workers, language))
    counts = {
        "prompt": m.prompt_tokens, "reused": m.reused_tokens or None, "reused_picture": m.reused_picture or None,
        "new": m.new_tokens,
    }  # fmt: skip
    facts += [text(f"facts.{name}", language, n=n) for name, n in counts.items() if n is not None]
    facts += optional_facts(result.request, language)
    if m.decoder is not None and result.device == "cuda":  # elsewhere there is one way
        why = worded(result.reasons.get("decoder", ""), language)
        facts.append(text(f"facts.decoder.{m.decoder}", language, why=why))
    facts.append(text("facts.seed", language, n=result.request.seed))
    if m.load_sec is not None:
        facts.append(text("facts.load", language, sec=joined(seconds(m.load_sec))))
    if (kept := result.reasons.get("kept")) is not None:
        facts.append(worded(kept, language))
    return facts
