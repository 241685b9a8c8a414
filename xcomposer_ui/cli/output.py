"""Where a command's words go: its result to stdout and the rest to stderr; with --json stdout has the JSON alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from xcomposer_ui.core.events import Loading


def print_json(document: Mapping[str, Any]) -> None:
    """`document` as one line on stdout, in any locale."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def note(text: str = "") -> None:
    """A line for the person at the terminal."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def tell(text: str, *, as_json: bool) -> None:
    """A line of the result: on stdout, or beside the JSON document that is the result."""
    if as_json:
        note(text)
    else:
        print(text, flush=True)


def seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f} s"


def mebibytes(value: int | None) -> str:
    return "—" if value is None else f"{value / 2**20:,.1f} MiB"


def loading_line(loading: Loading) -> str:
    """What is being brought, a new line for each tenth of a download."""
    if loading.stage == "download":
        return f"downloading {loading.model}: {int((loading.fraction or 0) * 10) * 10} %"
    return f"loading {loading.model} in {loading.dtype}"
