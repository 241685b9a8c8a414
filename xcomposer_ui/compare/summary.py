"""Statistics over many comparisons: each variant's agreement with full precision, and quartiles of its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median, quantiles
from typing import Any

from xcomposer_ui.core.metrics import distributed


def summarize(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per variant, in order of first appearance.

    documents: from `comparison_as_json`. agreement_rate: agreed / compared, over the questions that both the variant
    and full precision answered; None where there is none.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for document in documents:
        by_variant = {(d["strategy"], d["half"]): d for d in document.get("divergence") or ()}
        for run in document["runs"]:
            key = (run["strategy"], run["half"])
            found.setdefault(key, []).append({**by_variant.get(key, {}), **run})
    return [_of_variant(strategy, half, runs) for (strategy, half), runs in found.items()]


def distribution(values: Iterable[float | None]) -> dict[str, float | int] | None:
    """lowest, lower_quartile, median, upper_quartile, highest, count; None where there is no value."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    lower, _, upper = quantiles(known, n=4, method="inclusive") if len(known) > 1 else (known[0],) * 3
    return {
        "lowest": known[0],
        "lower_quartile": lower,
        "median": median(known),
        "upper_quartile": upper,
        "highest": known[-1],
        "count": len(known),
    }


def _of_variant(strategy: str, half: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    compared = [run["same_as_full"] for run in runs if run["same_as_full"] is not None]
    return {
        "strategy": strategy,
        "half": half,
        "questions": len(runs),
        "answered": sum(run["answer"] is not None for run in runs),
        "failed": sum(run["failure"] is not None for run in runs),
        "compared": len(compared),
        "agreed": sum(compared),
        "agreement_rate": sum(compared) / len(compared) if compared else None,
        "distributions": {metric.field: distribution(metric.value(run) for run in runs) for metric in distributed()},
    }
