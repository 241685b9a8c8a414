"""Cards: the explanation of a pasted error, and a failed run with its message, module, operands and remedies."""

from __future__ import annotations

from markupsafe import Markup

from xcomposer_ui.core.messages import Message, worded
from xcomposer_ui.core.result import Explanation, Failure, Fix
from xcomposer_ui.core.strategies import strategy_name
from xcomposer_ui.core.units import UNKNOWN
from xcomposer_ui.ui.html import render


def explanation_card(explanation: Explanation, language: str) -> Markup:
    """A card for a pasted error; an error that no rule recognises is shown as unknown."""
    return render("explanation", language, explanation=explanation, fixes=_fixes(explanation, None, language))


def failure_card(failure: Failure, language: str, strategy: str | None = None) -> Markup:
    """A card for `failure` of a run under `strategy`, with the whole error message to copy."""
    dtypes = tuple(dict.fromkeys(operand.dtype for operand in failure.operands))
    return render(
        "failure",
        language,
        failure=failure,
        explanation=failure.explanation,
        clash=dtypes or failure.explanation.dtypes,
        fixes=_fixes(failure.explanation, strategy, language),
    )


def _fixes(explanation: Explanation, failed: str | None, language: str) -> list[tuple[Fix, str, Message]]:
    """Each fix with its strategy's name and the result of its trial. failed: the strategy of the failed run."""
    return [(fix, strategy_name(fix.strategy, language), _trial(fix, failed, language)) for fix in explanation.fixes]


def _trial(fix: Fix, failed: str | None, language: str) -> Message:
    if not fix.tried:
        return Message("fix.untried")
    if fix.cures:
        return Message("fix.answered")
    message = worded(fix.failed_with or UNKNOWN, language)
    return Message("fix.failed" if fix.strategy == failed else "fix.failed.too", message=message)
