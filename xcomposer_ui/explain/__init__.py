"""Error text -> Explanation: a table of rules, in plain Python that answers at once."""

from __future__ import annotations

from xcomposer_ui.explain.rules import FAMILIES
from xcomposer_ui.explain.table import explain

__all__ = ["FAMILIES", "explain"]
