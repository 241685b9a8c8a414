"""Frozen records as plain JSON data and back. What comes back is checked against the records' types."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Message, Text

Record = TypeVar("Record")


def record_as_data(value: Any, language: str | None = None) -> Any:
    """`value`, a record of records, tuples, mappings, texts, numbers and messages, as data that JSON can hold.

    language: of the messages and texts; None keeps their parts, for `record_from_data`.
    """
    if language is not None and isinstance(value, Message | Text):
        return value.in_language(language)
    if isinstance(value, Message):
        return {"code": value.code, "facts": record_as_data(value.facts)}
    if dataclasses.is_dataclass(value):
        return {f.name: record_as_data(getattr(value, f.name), language) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): record_as_data(entry, language) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [record_as_data(entry, language) for entry in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{value!r} cannot be kept as JSON")


def record_from_data(kind: type[Record], data: Any) -> Record:
    """The record of `kind` that `data` holds. Raises ValueError where it holds none."""
    try:
        return _checked(kind, data)  # type: ignore[no-any-return]
    except (TypeError, KeyError, AttributeError, UserError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def _checked(kind: Any, data: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Message:
        return _message(data)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind, localns={"Image": type(None)})
        return kind(**{name: _checked(hints[name], entry) for name, entry in dict(data).items()})
    if origin in (Union, types.UnionType):
        return _first_fitting(arguments, data)
    if origin is tuple and isinstance(data, list):
        kinds = arguments[:1] * len(data) if arguments[-1] is Ellipsis else arguments
        return tuple(_checked(entry_kind, entry) for entry_kind, entry in zip(kinds, data, strict=True))
    if origin is not None and issubclass(origin, Mapping) and isinstance(data, dict):
        return {str(key): _checked(arguments[1], entry) for key, entry in data.items()}
    if isinstance(kind, type) and (type(data) is kind or (kind is float and type(data) is int)):
        return data
    raise TypeError(f"{data!r} is not {kind}")


def _first_fitting(kinds: tuple[Any, ...], data: Any) -> Any:
    for kind in kinds:
        try:
            return _checked(kind, data)
        except (TypeError, KeyError, AttributeError):
            continue
    raise TypeError(f"{data!r} is none of {kinds}")


def _message(data: Any) -> Message:
    if not isinstance(data, dict) or set(data) != {"code", "facts"}:
        raise TypeError(f"{data!r} is not a message")
    facts = {name: _message(fact) if isinstance(fact, dict) else fact for name, fact in data["facts"].items()}
    message = Message(data["code"], **facts)
    str(message)  # raises KeyError for an unknown code or a missing fact
    return message
