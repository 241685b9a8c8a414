"""The names of strategies, planned ones too."""

from __future__ import annotations

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.strategies import STRATEGIES


def strategy_name(name: str, language: str) -> str:
    """The name of a strategy of the lab, or of one that is only planned."""
    return text(f"strategy.{name}" if name in STRATEGIES else f"plan.{name}", language)
