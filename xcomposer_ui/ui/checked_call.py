"""A call of one of Gradio's events or endpoints, checked as a whole before Gradio sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradio.block_function import BlockFunction

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES
from xcomposer_ui.ui.call_check import checked_event_data, checked_named_values, checked_values, parsed
from xcomposer_ui.ui.run_tab import MODEL_QUEUE

UNQUEUED = "predict"
"""The name by which the page calls its events that are not queued; they are told apart by their number."""

REFUSED = "refused"
"""Name of the event that ends with the sentence of a refusal."""


@dataclass(frozen=True)
class CheckedCall:
    """A call that Gradio may read. body: its JSON object."""

    function: BlockFunction
    body: dict[str, Any]

    @property
    def computes(self) -> bool:
        """Whether it has to wait for the model."""
        return self.function.concurrency_id == MODEL_QUEUE


def checked_call(blocks: Any, called: re.Match[str], body: bytes) -> CheckedCall | None:
    """The call, checked; None where there is no such event or endpoint.

    A wrong call of one of the page's events becomes one of REFUSED. Raises UserError where a script's call is wrong.
    """
    given = parsed(body)
    if called["route"] == "queue/join" or called["name"] == UNQUEUED:
        return _checked_event(blocks, given)
    found = [f for f in blocks.fns.values() if f.api_name == called["name"] and f.api_visibility == "public"]
    if not found:
        return None
    if called["route"].startswith("call/v2"):
        return CheckedCall(found[0], checked_named_values(found[0], given))
    return CheckedCall(found[0], _session(given) | {"data": checked_values(found[0], given.get("data"))})


def _checked_event(blocks: Any, given: Mapping[str, Any]) -> CheckedCall | None:
    session, index = _session(given), given.get("fn_index")
    function = blocks.fns.get(index) if type(index) is int else None
    if function is None or not session:
        return None
    trigger = given.get("trigger_id")
    joined = session | {"fn_index": index, "trigger_id": trigger if isinstance(trigger, int) else None}
    try:
        event_data = checked_event_data(given.get("event_data"))
        values = checked_values(function, given.get("data"))
        return CheckedCall(function, joined | {"data": values, "event_data": event_data})
    except UserError as error:
        return refused_event(blocks, joined, error)


def refused_event(blocks: Any, joined: Mapping[str, Any], error: UserError) -> CheckedCall:
    """The event of a page that ends with the sentence of `error`, in place of the one in `joined`. blocks: Gradio's."""
    function = next(function for function in blocks.fns.values() if function.api_name == REFUSED)
    sentences = {language: error.in_language(language) for language in LANGUAGES}
    return CheckedCall(function, {**joined, "fn_index": function._id, "data": [sentences], "event_data": None})


def _session(given: Mapping[str, Any]) -> dict[str, str]:
    session = given.get("session_hash")
    return {"session_hash": session} if isinstance(session, str) and re.fullmatch(r"[\w-]{1,64}", session) else {}
