"""Error text -> Explanation: a table of rules, in plain Python that answers at once."""

from __future__ import annotations

from xcomposer_ui.explain.matcher import explain
from xcomposer_ui.explain.rules import FAMILIES

__all__ = ["FAMILIES", "explain"]
