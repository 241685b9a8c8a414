"""Predicted beside measured: the last run's pair in a sentence, all pairs of the visit in a table."""

from __future__ import annotations

from collections.abc import Sequence

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.prediction_error import PredictionError
from xcomposer_ui.ui.plan_names import strategy_name
from xcomposer_ui.ui.views.marks import escaped

COLUMNS = ("strategy", "tokens", "predicted", "measured", "error")


def pairs_view(pairs: Sequence[PredictionError], language: str) -> str:
    """`pairs` oldest first; empty where there are none."""
    if not pairs:
        return ""
    last = pairs[-1]
    said = text(
        "pairs.last",
        language,
        predicted=joined(memory(last.predicted_bytes)),
        measured=joined(memory(last.measured_bytes)),
        error=percent(last.error),
    )
    head = "".join(f'<th scope="col">{escaped(text(f"pairs.{name}", language))}</th>' for name in COLUMNS)
    rows = "".join(_row(pair, language) for pair in reversed(pairs))
    return (
        f'<details class="xl-pairs"><summary>{escaped(said)}</summary><div class="xl-scroll">'
        f'<table class="xl-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def percent(share: float) -> str:
    """A share with its sign, in percent: +0.02 %."""
    return f"{100 * share:+.2f} %".replace("-", "−")


def _row(pair: PredictionError, language: str) -> str:
    cells = (
        f"{pair.prompt_tokens} + {pair.new_tokens}",
        joined(memory(pair.predicted_bytes)),
        joined(memory(pair.measured_bytes)),
        percent(pair.error),
    )
    figures = "".join(f'<td class="xl-number">{escaped(cell)}</td>' for cell in cells)
    return f"<tr><td>{escaped(strategy_name(pair.strategy, language))}, {escaped(pair.half)}</td>{figures}</tr>"
