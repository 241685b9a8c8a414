"""The XComposer precision lab: what floating-point precision does to a vision-language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xcomposer_ui.backends.error_notes import explain_dtypes

__all__ = ["__version__", "explain_dtypes"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`explain_dtypes` loads torch, so it is imported when it is asked for and not before."""
    if name == "explain_dtypes":
        from xcomposer_ui.backends.error_notes import explain_dtypes

        return explain_dtypes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
