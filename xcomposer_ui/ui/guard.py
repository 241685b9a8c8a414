"""What a request may reach and contain, decided before Gradio sees it: routes, sizes, origins, values; and headers.

A wrong call is refused with a sentence, at once, whatever waits in the queue: a script's call with status 422, a call
through the page's queue with an error event, which the page and gradio_client show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio
from gradio.block_function import BlockFunction
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES
from xcomposer_ui.core.messages import LANGUAGES
from xcomposer_ui.core.units import MIB, joined, memory
from xcomposer_ui.ui.call_check import checked_event_data, checked_named_values, checked_values, parsed
from xcomposer_ui.ui.gradio_sessions import GradioSessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

API = "/gradio_api"

READ = re.compile(
    r"|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/\d+)?|/(assets|static|svelte)/.*"
    rf"|{API}/(info|openapi\.json|app_id|startup-events|login_check|theme\.css|queue/data|queue/status"
    r"|upload_progress)/?"
    rf"|{API}/heartbeat/[\w-]+|{API}/call/(v2/)?\w+/\w+|{API}/file=(?!\w+:/).*"
)
"""What may be read: the page, its assets, the events of calls, and uploaded files, but never a file at an address."""

CALLED = re.compile(rf"{API}/(?P<route>queue/join|(?:call/v2|call|run|api)/(?P<name>\w+))/?")
"""Calls of events and endpoints."""

POSTED = re.compile(rf"{API}/(upload|cancel|reset)/?")
"""What else may be posted to."""

LARGEST_CALL_BYTES = MAX_FILE_BYTES * 4 // 3 + 4 * MIB
"""Of a call's JSON: a picture of MAX_FILE_BYTES as a base64 data: URL, and texts."""

LARGEST_UPLOAD_BYTES = 2 * MAX_FILE_BYTES
"""Of all files in one request; Gradio limits each file."""

LARGEST_OTHER_BYTES = 64 * 1024

FRAMED_BY = "'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
"""Who may show the page in a frame; a Space is shown in one of the hub's."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
}

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")

UNQUEUED = "predict"
"""The name by which the page calls its events that are not queued; they are told apart by their number."""

REFUSED = "refused"
"""Name of the event that ends with the sentence of a refusal."""


class Guard:
    """ASGI middleware around Gradio's app."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sessions = GradioSessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        send = _with_headers(send, path)
        if scope["method"] in ("GET", "HEAD"):
            await self._read(path, scope, receive, send)
        elif scope["method"] == "POST":
            await self._posted(path, scope, receive, send)
        else:
            await _answer(405, UserError("call_nowhere"))(scope, receive, send)

    async def _read(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if READ.fullmatch(path.rstrip("/") if path == "/" else path) is None:
            await _answer(404, UserError("call_nowhere"))(scope, receive, send)
            return
        parts = path.removeprefix(API).strip("/").split("/")
        if parts[0] == "heartbeat":
            with self.sessions.open(parts[1]):
                await self.app(scope, receive, send)
        elif parts[0] == "call":
            await self._followed(parts[-1], scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _followed(self, event: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the events of a script's call; after its last one, release its session."""
        ended = False

        async def noted(message: Message) -> None:
            nonlocal ended
            ended = ended or message.get("body", b"").startswith((b"event: complete", b"event: error"))
            await send(message)

        await self.app(scope, receive, noted)
        if ended:
            self.sessions.release(scope["app"], event)  # a call without a session has one with its event's name

    async def _posted(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        called = CALLED.fullmatch(path)
        if called is None and POSTED.fullmatch(path) is None:
            await _answer(404, UserError("call_nowhere"))(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and _host(headers) in LOOPBACK:
            await _answer(403, UserError("call_cross_site"))(scope, receive, send)
            return
        self.sessions.sweep(scope["app"])
        if called is not None:
            await self._called(called, headers, scope, receive, send)
            return
        uploaded = path.startswith(f"{API}/upload")
        most = LARGEST_UPLOAD_BYTES if uploaded else LARGEST_OTHER_BYTES
        await self._limited(most, scope, receive, send)

    async def _limited(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while its body has at most `most` bytes."""
        if _declared_bytes(Headers(scope=scope)) > most:
            await _too_large(most)(scope, receive, send)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > most else message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            if seen <= most:
                await send(message)

        try:
            await self.app(scope, counted, noted)
        except Exception:
            if seen <= most:
                raise
        if seen > most:
            await _too_large(most)(scope, receive, send)

    async def _called(
        self, called: re.Match[str], headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            await _answer(415, UserError("call_form"))(scope, receive, send)
            return
        body = await _body(receive, LARGEST_CALL_BYTES, _declared_bytes(headers))
        if body is None:
            await _too_large(LARGEST_CALL_BYTES)(scope, receive, send)
            return
        try:
            checked = await anyio.to_thread.run_sync(checked_call, scope["app"].get_blocks(), called, body)
        except UserError as error:
            await _answer(422, error)(scope, receive, send)
            return
        if checked is None:
            await _answer(404, UserError("call_nowhere"))(scope, receive, send)
            return
        if session := checked.get("session_hash"):
            self.sessions.used(session)
        await self.app(_with_length(scope, content := json.dumps(checked).encode()), _body_once(content, receive), send)


def checked_call(blocks: Any, called: re.Match[str], body: bytes) -> dict[str, Any] | None:
    """The JSON object of a call as Gradio may read it; None where there is no such event or endpoint.

    A wrong call of one of the page's events becomes one of REFUSED. Raises UserError where a script's call is wrong.
    """
    given = parsed(body)
    if called["route"] == "queue/join" or called["name"] == UNQUEUED:
        return _checked_event(blocks, given)
    found = [f for f in blocks.fns.values() if f.api_name == called["name"] and f.api_visibility == "public"]
    if not found:
        return None
    if called["route"].startswith("call/v2"):
        return checked_named_values(found[0], given)
    return _session(given) | {"data": checked_values(found[0], given.get("data"))}


def _checked_event(blocks: Any, given: Mapping[str, Any]) -> dict[str, Any] | None:
    session, index = _session(given), given.get("fn_index")
    function = blocks.fns.get(index) if type(index) is int else None
    if function is None or not session:
        return None
    trigger = given.get("trigger_id")
    joined = session | {"fn_index": index, "trigger_id": trigger if isinstance(trigger, int) else None}
    try:
        event_data = checked_event_data(given.get("event_data"))
        return joined | {"data": checked_values(function, given.get("data")), "event_data": event_data}
    except UserError as error:
        sentences = {language: error.in_language(language) for language in LANGUAGES}
        return joined | {"fn_index": _refused(blocks)._id, "data": [sentences], "event_data": None}


def _refused(blocks: Any) -> BlockFunction:
    found: BlockFunction = next(function for function in blocks.fns.values() if function.api_name == REFUSED)
    return found


def _session(given: Mapping[str, Any]) -> dict[str, str]:
    session = given.get("session_hash")
    return {"session_hash": session} if isinstance(session, str) and re.fullmatch(r"[\w-]{1,64}", session) else {}


def _with_headers(send: Send, path: str) -> Send:
    """`send` that adds the security headers; of uploaded files, only pictures are shown, all else is downloaded."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            policy = f"frame-ancestors {FRAMED_BY}; base-uri 'self'; object-src 'none'"
            if path.startswith(f"{API}/file="):
                policy = f"default-src 'none'; sandbox; frame-ancestors {FRAMED_BY}"
                if not headers.get("content-type", "").startswith("image/"):
                    headers["Content-Disposition"] = headers.get("content-disposition", "attachment").replace(
                        "inline", "attachment", 1
                    )
            headers.update(HEADERS | {"Content-Security-Policy": policy})
        await send(message)

    return sent


def _answer(status: int, error: UserError) -> JSONResponse:
    # "error" as in Gradio's own answers to calls, "detail" as in all its others, which the page shows.
    return JSONResponse({"error": str(error), "detail": str(error)}, status)


def _too_large(most: int) -> JSONResponse:
    return _answer(413, UserError("call_bytes", limit=joined(memory(most))))


def _declared_bytes(headers: Headers) -> int:
    declared = headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _host(headers: Headers) -> str:
    return re.sub(r":\d*$", "", headers.get("host", "")).lower()


async def _body(receive: Receive, most: int, declared: int) -> bytes | None:
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


def _with_length(scope: Scope, content: bytes) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*kept, (b"content-length", str(len(content)).encode())]}


def _body_once(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `content` as the body, and then what the client does: its disconnection."""
    sent = False

    async def received() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return received
