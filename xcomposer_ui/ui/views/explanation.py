"""What an error means: title, cause, cures, references. Shared by the failure card and the Explain tab."""

from __future__ import annotations

from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.core.result import Explanation, Fix, Reference
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.ui.views.marks import clashing, dtype_chip, escaped


def explanation_card(explanation: Explanation, language: str) -> str:
    """A card for a pasted error; one that was not recognised says so and guesses nothing."""
    kind = "xl-known" if explanation.recognised else "xl-unknown"
    title = worded(explanation.title, language)
    dtypes = _dtypes(explanation, language)
    return (
        f'<section class="xl-card {kind}"><h3>{escaped(title)}</h3>{dtypes}'
        f"{_where(explanation, language)}{cause_and_fixes(explanation, language)}</section>"
    )


def cause_and_fixes(explanation: Explanation, language: str, ran: str | None = None) -> str:
    """Why it failed, what each strategy does about it, where to read more. ran: the strategy that failed, if any."""
    return (
        (f"<h4>{escaped(text('failure.cause', language))}</h4>" if explanation.fixes else "")
        + f'<p class="xl-cause">{escaped(worded(explanation.cause, language))}</p>'
        + _references(explanation.references, language)
        + _fixes(explanation.fixes, language, ran)
    )


def strategy_label(name: str, language: str) -> str:
    """A strategy's name in the page's words; any other name as it is."""
    return text(f"strategy.{name}", language) if name in STRATEGIES else name


def _dtypes(explanation: Explanation, language: str) -> str:
    if not explanation.dtypes:
        return ""
    chips = (
        clashing(explanation.dtypes, language)
        if len(explanation.dtypes) == 2
        else " ".join(dtype_chip(dtype) for dtype in explanation.dtypes)
    )
    return f'<p class="xl-path" aria-label="{escaped(text("dtypes", language))}">{chips}</p>'


def _where(explanation: Explanation, language: str) -> str:
    if not explanation.where:
        return ""
    return f"<h4>{escaped(text('explain.where', language))}</h4><p>{escaped(worded(explanation.where, language))}</p>"


def _fixes(fixes: tuple[Fix, ...], language: str, ran: str | None) -> str:
    if not fixes:
        return ""
    rows = "".join(_fix(fix, language, ran) for fix in fixes)
    return f'<h4>{escaped(text("failure.fixes", language))}</h4><ul class="xl-fixes">{rows}</ul>'


def _fix(fix: Fix, language: str, ran: str | None) -> str:
    verdict = str(fix.cures).lower()
    return (
        f'<li class="xl-fix xl-cures-{verdict}"><span class="xl-verdict">{escaped(text(f"fix.{verdict}", language))}'
        f"</span><span><b>{escaped(strategy_label(fix.strategy, language))}</b> {escaped(worded(fix.why, language))} "
        f"<small>{escaped(_trial(fix, language, ran))}</small></span></li>"
    )


def _trial(fix: Fix, language: str, ran: str | None) -> str:
    if not fix.tried:
        return text("fix.untried", language)
    if fix.cures:
        return text("fix.answered", language)
    key = "fix.failed" if fix.strategy == ran else "fix.failed.too"
    return text(key, language, message=worded(fix.failed_with or "—", language))


def _references(references: tuple[Reference, ...], language: str) -> str:
    if not references:
        return ""
    rows = "".join(f"<li>{_reference(reference)}</li>" for reference in references)
    return f'<h4>{escaped(text("references", language))}</h4><ul class="xl-references">{rows}</ul>'


def _reference(reference: Reference) -> str:
    if not (reference.url or "").startswith("https://"):
        return escaped(reference.title)
    return f'<a href="{escaped(reference.url)}" rel="noopener" target="_blank">{escaped(reference.title)}</a>'
