"""Patterns that several modules of rules share."""

from __future__ import annotations

STATED = r"(?:[:>\]|`'\"]|(?<=\s)-) ?"
"""What stands before a message that reads like prose: its class, a log's prefix, a quotation mark.

Where nothing stands before it, such a message must be all there is on its line: it goes into a rule's `whole` as well.
"""
