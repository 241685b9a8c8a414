"""Cards: the explanation of a pasted error, and a failed run with its message, remedies and details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import Explanation, Failure, Fix
from xcomposer_ui.core.units import UNKNOWN
from xcomposer_ui.ui.html import render


def explanation_card(explanation: Explanation, language: str) -> Markup:
    """A card for a pasted error; an error that no rule recognises is shown as unknown."""
    return render("explanation", language, explanation=explanation, remedies=_remedies(explanation.fixes))


def failure_card(
    failure: Failure,
    language: str,
    strategy: str | None = None,
    *,
    buttons: str = "",
    pending: Sequence[str] = (),
) -> Markup:
    """A card for `failure` of a run under `strategy`, with the whole error message to copy.

    buttons: the prefix of the ids of the buttons that run a strategy; "" where the page has none.
    pending: the strategies that are still being tried on the failure.
    """
    explanation = failure.explanation
    dtypes = tuple(dict.fromkeys(operand.dtype for operand in failure.operands)) or explanation.dtypes
    others = [fix for fix in explanation.fixes if fix.strategy != strategy]
    return render(
        "failure",
        language,
        failure=failure,
        explanation=explanation,
        clash=dtypes if explanation.clash and len(dtypes) == 2 else (),
        remedies=_remedies(others, buttons, pending),
    )


def _remedies(fixes: Sequence[Fix], buttons: str = "", pending: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each of `fixes`: those that cure first, those that do not last; in their order while one is pending.

    verdict: what came of it, or what is expected. state: whether it cures, or that it is being tried, for the row's
    mark. button: the id of what runs it, or "".
    """
    ordered = fixes if pending else sorted(fixes, key=lambda fix: (True, None, False).index(fix.cures))
    return [
        {
            "fix": fix,
            "verdict": Message("fix.trying") if fix.strategy in pending else _verdict(fix),
            "reason": _failed_with(fix) if fix.tried and not fix.cures else fix.why,
            "state": "trying" if fix.strategy in pending else str(fix.cures).lower(),
            "button": f"{buttons}-{fix.strategy}" if buttons and fix.cures is not False else "",
        }
        for fix in ordered
    ]


def _failed_with(fix: Fix) -> Message:
    return Message("fix.failed_with", message=fix.failed_with or UNKNOWN)


def _verdict(fix: Fix) -> Message:
    if fix.tried:
        return Message("fix.works" if fix.cures else "fix.fails")
    return Message(f"fix.{str(fix.cures).lower()}")
