"""A call of one of Gradio's events or endpoints, checked before Gradio sees it: its values' number, kinds and size.

Gradio itself looks at the values when the event's turn has come, and ends it with an unexplained error.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES, Message
from xcomposer_ui.ui.controls import DrawingInput, NumberInput, PictureInput
from xcomposer_ui.ui.run_tab import MODEL_QUEUE
from xcomposer_ui.ui.uploads import DATA_URL, as_cached_file, check_data_url, check_file, has_path, is_file

LONGEST_TEXT = 1_000_000
"""Characters of one text. A pasted log of ten thousand lines is about half as long."""

LARGEST_NUMBER = 2**64
"""In magnitude; seeds, the largest numbers of a request, have 63 bits."""

MOST_VALUES = 100_000
"""JSON values of one call. A value of a few bytes becomes a Python object of up to 200."""

DEEPEST = 32
"""Levels of nested lists and objects."""

FileTest = Callable[[Mapping[str, Any]], bool]
"""Whether a JSON object names a file."""

WHOLE, NUMBER, TEXT, FLAG, PICTURE, DRAWING = "whole", "number", "text", "flag", "picture", "drawing"

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


def checked_call(blocks: Any, called: re.Match[str], body: bytes) -> CheckedCall:
    """The call, checked; a wrong call of one of the page's events becomes one of REFUSED.

    Raises UserError where a script's call is wrong, and where there is no such event or endpoint.
    """
    given = parsed(body)
    if called["route"] == "queue/join" or called["name"] == UNQUEUED:
        return _checked_event(blocks, given)
    found = [f for f in blocks.fns.values() if f.api_name == called["name"] and f.api_visibility == "public"]
    if not found:
        raise UserError("call_nowhere")
    if called["route"].startswith("call/v2"):
        return CheckedCall(found[0], checked_named_values(found[0], given))
    return CheckedCall(found[0], _session(given) | {"data": checked_values(found[0], given.get("data"))})


def _checked_event(blocks: Any, given: Mapping[str, Any]) -> CheckedCall:
    session, index = _session(given), given.get("fn_index")
    function = blocks.fns.get(index) if type(index) is int else None
    if function is None or not session:
        raise UserError("call_nowhere")
    trigger = given.get("trigger_id")
    joined = session | {"fn_index": index, "trigger_id": trigger if isinstance(trigger, int) else None}
    try:
        event_data = given.get("event_data")  # such as which picture of a gallery was chosen
        _check_value("event_data", event_data)
        values = checked_values(function, given.get("data"))
        return CheckedCall(function, joined | {"data": values, "event_data": _cached(event_data)})
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


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises UserError where it is none, or has too many values to be read."""
    if sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > MOST_VALUES:
        raise UserError("call_large", most=MOST_VALUES)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise UserError("call_form") from None
    if not isinstance(found, dict):
        raise UserError("call_form")
    return found


def checked_values(function: BlockFunction, values: Any) -> list[Any]:
    """The values of a call by position, its pictures in the upload cache. Raises UserError where one is wrong."""
    names = parameter_names(function)
    public = function.api_visibility == "public"
    if not isinstance(values, list) or (not public and len(values) < len(names)):
        raise UserError("call_form")
    if public and len(values) != len(names):
        facts = {"endpoint": function.api_name, "names": ", ".join(names)}
        raise UserError("argument_count", **facts, count=len(names), found=len(values))
    return _checked(function, list(zip(names, function.inputs, values, strict=False)))


def checked_named_values(function: BlockFunction, values: Mapping[str, Any]) -> dict[str, Any]:
    """As `checked_values`, for values by their parameter's name; those with a default may be missing."""
    names = parameter_names(function)
    unknown = next((name for name in values if name not in names), None)
    signature = inspect.signature(function.fn).parameters  # type: ignore[arg-type]  # an endpoint has a function
    missing = next((n for n in names if n not in values and signature[n].default is inspect.Parameter.empty), None)
    if unknown is not None or missing is not None:
        raise UserError("argument_names", endpoint=function.api_name, names=", ".join(names))
    components = dict(zip(names, function.inputs, strict=True))
    checked = _checked(function, [(name, components[name], value) for name, value in values.items()])
    return dict(zip(values, checked, strict=True))


def parameter_names(function: BlockFunction) -> list[str]:
    """Names of a function's inputs: an endpoint's parameters; for the page's own events, their components' ids."""
    if function.api_visibility == "public" and function.fn is not None:
        return list(inspect.signature(function.fn).parameters)
    return [str(block.elem_id or block.get_block_name()) for block in function.inputs]


def _checked(function: BlockFunction, given: Sequence[tuple[str, Any, Any]]) -> list[Any]:
    """The values of a call, its pictures in the upload cache. given: (name, component, value) of each."""
    for name, component, value in given:
        _check(name, component, value)
    if (check := getattr(function.fn, "check_values", None)) is not None:  # an endpoint's own
        check({name: value for name, _, value in given})
    return [None if component.stateful else _cached(value, _file_test(component)) for _, component, value in given]


def _check(name: str, component: Any, value: Any) -> None:
    if component.stateful:  # Gradio takes the server's own value
        return
    _check_value(name, value, _file_test(component))
    kind = _kind(component)
    if kind == DRAWING and isinstance(value, str) and value:
        check_data_url(value)
    if kind is not None and value is not None and not _is_kind(kind, value):
        wanted, found = Message(f"argument.{kind}"), Message(f"argument.{_found(value)}")
        raise UserError("argument_kind", name=name, wanted=wanted, found=found)


def _file_test(component: Any) -> FileTest:
    """What the browser kept holds the links of explained errors, as {"url": ...}: nobody opens or requests them."""
    return has_path if isinstance(component, gr.BrowserState) else is_file


def _kind(component: Any) -> str | None:
    """What the component's value has to be; None for components that Gradio checks, such as a Radio."""
    if isinstance(component, NumberInput):  # a fraction is refused at its field, where a request is made
        return NUMBER
    if isinstance(component, (gr.Number, gr.Slider)):
        return WHOLE if component.precision == 0 else NUMBER
    kinds = ((gr.Textbox, TEXT), (gr.Checkbox, FLAG), (PictureInput, PICTURE), (DrawingInput, DRAWING))
    return next((kind for made, kind in kinds if isinstance(component, made)), None)


def _is_kind(kind: str, value: Any) -> bool:
    if kind in (WHOLE, NUMBER):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (kind == NUMBER or value == int(value))
    if kind == PICTURE:
        return isinstance(value, dict) and is_file(value)
    return isinstance(value, {TEXT: str, FLAG: bool, DRAWING: str}[kind])


def _found(value: Any) -> str:
    if isinstance(value, bool):
        return FLAG
    if isinstance(value, (int, float)):
        return NUMBER
    return TEXT if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def _check_value(name: str, value: Any, names_file: FileTest = is_file, depth: int = 0) -> None:
    """Check every number, text and file in `value`, at any depth."""
    if depth > DEEPEST:
        raise UserError("call_form")
    if isinstance(value, dict):
        if names_file(value):
            check_file(value)
        for key, item in value.items():
            _check_text(name, key)
            if not (key == "url" and isinstance(item, str) and item.startswith(DATA_URL)):
                _check_value(name, item, names_file, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(name, item, names_file, depth + 1)
    elif isinstance(value, str):
        _check_text(name, value)
    elif isinstance(value, (int, float)) and not abs(value) <= LARGEST_NUMBER:  # NaN is not either
        raise UserError("argument_number", name=name)


def _check_text(name: str, text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UserError("argument_long", name=name, length=len(text), longest=LONGEST_TEXT)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("argument_surrogate", name=name) from None


def _cached(value: Any, names_file: FileTest = is_file) -> Any:
    """`value` with each of its files in the upload cache."""
    if isinstance(value, dict):
        if names_file(value):
            return as_cached_file(value)
        return {key: _cached(item, names_file) for key, item in value.items()}
    if isinstance(value, list):
        return [_cached(item, names_file) for item in value]
    return value
