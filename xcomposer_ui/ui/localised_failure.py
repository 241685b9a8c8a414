"""A failure in the page's language: records of a run carry its explanation, and the lab's own messages, in English."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.result import Failure, Fix
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.silent_failures import silent_message


def localised(failure: Failure, device: str, language: str) -> Failure:
    """`failure` with its explanation in `language`, where the table of rules knows it; as it is otherwise.

    PyTorch's messages stay as it words them, the lab's own (of failures that raise nothing) do not.
    Verdicts that were found by running a strategy stay: the table cannot know them.
    """
    if language == "en":
        return failure
    told = explain(f"{failure.type}: {failure.message}", language=language, device=device)
    if told.family is None or told.family != failure.explanation.family:
        return failure
    tried = {fix.strategy: fix for fix in failure.explanation.fixes if fix.tried}
    fixes = tuple(_with_verdict(fix, tried.get(fix.strategy), language) for fix in told.fixes)
    message = silent_message(failure.message, language)
    return replace(failure, message=message, explanation=replace(told, fixes=fixes))


def failure_line(failure: Failure, language: str) -> str:
    """Type and message on one line."""
    return f"{failure.type}: {silent_message(failure.message, language)}"


def _with_verdict(fix: Fix, tried: Fix | None, language: str) -> Fix:
    if tried is None:
        return fix
    failed_with = tried.failed_with and silent_message(tried.failed_with, language)
    return replace(fix, cures=tried.cures, tried=True, failed_with=failed_with)
