"""Requests as ASGI passes them on: their size, host and body."""

from __future__ import annotations

import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope


def declared_bytes(headers: Headers) -> int:
    declared = headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def names_this_machine(headers: Headers) -> bool:
    """Whether the host that a request was sent to is a name or an address of the machine that sent it."""
    name = re.sub(r":\d*$", "", headers.get("host", "")).lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(a.is_loopback or a.is_unspecified for a in (address, mapped) if a is not None)


async def read_body(receive: Receive, most: int, declared: int) -> bytes | None:
    """The request's body; None where it has more than `most` bytes, of which no more are read."""
    if declared > most:
        return None
    pieces, size = [], 0
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)


def with_length(scope: Scope, content: bytes) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*kept, (b"content-length", str(len(content)).encode())]}


def body_once(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `content` as the body, and then what the client does: its disconnection."""
    sent = False

    async def received() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return received
