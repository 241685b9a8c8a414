"""Error text -> Explanation: a table of rules, in plain Python that answers at once."""

from __future__ import annotations

from xcomposer_ui.explain.matcher import explain

__all__ = ["explain"]
