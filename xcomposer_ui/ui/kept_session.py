"""What the browser keeps of a visit: the last runs, and which of them are the conversation. Pictures are thumbnails.

Nothing is stored on the server. What comes back from the browser is checked like anything that a visitor sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xcomposer_ui.core.records import record_as_data, record_from_data
from xcomposer_ui.ui.session import Session, SessionRun

MOST_KEPT = 30
"""Runs that the browser keeps."""

MOST_CHARACTERS = 400_000
"""Of the JSON that holds them; a browser gives a site 5 million."""

LONGEST_THUMBNAIL = 20_000
"""Characters of a data: URL; those of this page have some 3,000."""

JPEG = "data:image/jpeg;base64,"

Named = Callable[[str | None], str | None]
"""From a picture's file to the example that it is a copy of, by name, or back; None for a picture of the visitor's."""


def kept_session(session: Session, example_name: Named) -> dict[str, Any]:
    """The last runs of `session` as JSON data, and the places of the conversation's turns among them."""
    runs = session.runs[-MOST_KEPT:]
    data = [record_as_data(_without_files(run, example_name)) for run in runs]
    while len(json.dumps(data)) > MOST_CHARACTERS:
        runs, data = runs[1:], data[1:]
    return {"runs": data, "turns": [place for place, run in enumerate(runs) if run in session.turns]}


def restored_session(data: Any, example_file: Named) -> Session:
    """The session that the browser kept; a new one where it kept none, or something that this version cannot read."""
    if not isinstance(data, dict) or not isinstance(data.get("runs"), list) or len(data["runs"]) > MOST_KEPT:
        return Session()
    try:
        runs = tuple(_with_file(record_from_data(SessionRun, run), example_file) for run in data["runs"])
        turns = tuple(runs[int(place)] for place in data["turns"])
    except (ValueError, TypeError, LookupError):
        return Session()
    return Session(turns=turns, runs=runs, restored=bool(runs))


def _without_files(run: SessionRun, example_name: Named) -> SessionRun:
    """`run` with its picture by the name of the example, and without its memory timeline."""
    return _with_files(replace(run, result=replace(run.result, timeline=None)), example_name)


def _with_file(run: SessionRun, example_file: Named) -> SessionRun:
    thumbnail = run.thumbnail or JPEG
    if len(thumbnail) > LONGEST_THUMBNAIL or not thumbnail.startswith(JPEG):
        raise ValueError("not a thumbnail")
    return _with_files(run, example_file)


def _with_files(run: SessionRun, named: Named) -> SessionRun:
    request, result = run.request, run.result
    resolved = replace(result.request, file=named(result.request.file))
    return replace(run, request=replace(request, file=named(request.file)), result=replace(result, request=resolved))
