"""Many questions on the page: how often each variant agrees with full precision, and how its figures spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xcomposer_ui.compare.tally import tally
from xcomposer_ui.ui.numbers import UNKNOWN, joined, seconds
from xcomposer_ui.ui.texts import text
from xcomposer_ui.ui.views.explanation import strategy_label
from xcomposer_ui.ui.views.marks import dtype_chip, escaped

COLUMNS = ("variant", "weights", "many.questions", "many.answered", "many.rate", "many.kl", "many.latency")


def many(documents: Sequence[Mapping[str, Any]], total: int, language: str) -> str:
    """The tally of `documents`, of `total` that were asked for."""
    heads = "".join(f'<th scope="col">{escaped(text(f"compare.{name}", language))}</th>' for name in COLUMNS)
    rows = "".join(_row(entry, language) for entry in tally(documents))
    title = escaped(text("compare.many", language))
    return (
        f'<section class="xl-runs" id="compare-many"><header><h3>{title}</h3>'
        f"<span>{len(documents)} / {total}</span></header>"
        f'<div class="xl-scroll" role="region" tabindex="0" aria-label="{title}"><table class="xl-table">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _row(entry: Mapping[str, Any], language: str) -> str:
    rate, figures = entry["agreement_rate"], entry["distributions"]
    kl, latency = figures["mean_kl_divergence"], figures["latency_sec"]
    agreed = UNKNOWN if rate is None else f"{rate:.0%} ({entry['agreed']} / {entry['compared']})"
    cells = (
        entry["questions"], entry["answered"], agreed,
        UNKNOWN if kl is None else f"{kl['median']:.2e} ({kl['lowest']:.1e} – {kl['highest']:.1e})",
        UNKNOWN if latency is None else _range(latency),
    )  # fmt: skip
    numbers = "".join(f'<td class="xl-number">{escaped(cell)}</td>' for cell in cells)
    label, half = escaped(strategy_label(entry["strategy"], language)), entry["half"]
    dtype = "float32" if entry["strategy"] == "full" else half
    return f'<tr><td class="xl-name">{label}</td><td>{dtype_chip(dtype)}</td>{numbers}</tr>'


def _range(latency: Mapping[str, float]) -> str:
    middle, lowest, highest = (joined(seconds(latency[name])) for name in ("median", "lowest", "highest"))
    return f"{middle} ({lowest} – {highest})"
