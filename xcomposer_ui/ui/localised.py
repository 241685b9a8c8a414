"""A failure's explanation in the page's language: records of a run carry it in English."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.explain import explain
from xcomposer_ui.records import Failure, Fix


def localised(failure: Failure, device: str, language: str) -> Failure:
    """`failure` with its explanation in `language`, where the table of rules knows it; as it is otherwise.

    Verdicts that were found by running a strategy stay: the table cannot know them.
    """
    if language == "en":
        return failure
    told = explain(f"{failure.type}: {failure.message}", language=language, device=device)
    if told.family is None or told.family != failure.explanation.family:
        return failure
    tried = {fix.strategy: fix for fix in failure.explanation.fixes if fix.tried}
    fixes = tuple(_with_verdict(fix, tried.get(fix.strategy)) for fix in told.fixes)
    return replace(failure, explanation=replace(told, fixes=fixes))


def _with_verdict(fix: Fix, tried: Fix | None) -> Fix:
    if tried is None:
        return fix
    return replace(fix, cures=tried.cures, tried=True, failed_with=tried.failed_with)
