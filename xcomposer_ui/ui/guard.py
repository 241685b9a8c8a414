"""What a request may reach and contain, decided before Gradio sees it: routes, sizes, origins, values; and headers.

A wrong call is refused with a sentence, at once, whatever waits in the queue: a script's call with status 422, a call
through the page's queue with an error event, which the page and gradio_client show.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES
from xcomposer_ui.core.units import MIB, joined, memory
from xcomposer_ui.ui.asgi import body_once, declared_bytes, names_this_machine, read_body, with_length
from xcomposer_ui.ui.call_check import CheckedCall, checked_call, refused_event
from xcomposer_ui.ui.gradio_sessions import GradioSessions, calls_in
from xcomposer_ui.ui.run_tab import MODEL_QUEUE, MOST_COMPUTING
from xcomposer_ui.ui.uploads import TIDY_SEC, UploadCache

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

FULL = "queue_full"
STATUS = {"call_cross_site": 403, "call_nowhere": 404, "call_bytes": 413, FULL: 503, "uploads_full": 507}
"""Code of a refusal -> its status; 422 for all others."""


class Guard:
    """ASGI middleware around Gradio's app."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sessions = GradioSessions()
        self.uploads = UploadCache()
        self._joined = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            tidying = asyncio.create_task(self._tidy(scope["app"]))
            try:
                await self.app(scope, receive, send)
            finally:
                tidying.cancel()
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        send = _with_headers(send, path)
        try:
            if scope["method"] in ("GET", "HEAD"):
                await self._read(path, scope, receive, send)
            elif scope["method"] == "POST":
                await self._posted(path, scope, receive, send)
            else:
                await _answer(UserError("call_nowhere"), 405)(scope, receive, send)
        except UserError as error:
            await _answer(error)(scope, receive, send)

    async def _tidy(self, app: Any) -> None:
        """Release sessions and delete files that are no longer used, again and again, whether or not somebody calls."""
        while True:
            await asyncio.sleep(TIDY_SEC)
            self.sessions.sweep(app)
            await anyio.to_thread.run_sync(self.uploads.tidy, self.sessions.in_use(app))

    async def _read(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if READ.fullmatch(path.rstrip("/") if path == "/" else path) is None:
            raise UserError("call_nowhere")
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
            raise UserError("call_nowhere")
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and names_this_machine(headers):
            raise UserError("call_cross_site")
        self.sessions.sweep(scope["app"])
        if called is not None:
            await self._called(called, headers, scope, receive, send)
            return
        uploaded = path.startswith(f"{API}/upload")
        most = LARGEST_UPLOAD_BYTES if uploaded else LARGEST_OTHER_BYTES
        if uploaded:
            await self._reserve(declared_bytes(headers) or most, scope["app"])
        await self._limited(most, scope, receive, send)

    async def _reserve(self, size: int, app: Any) -> None:
        """Count a file of at most `size` bytes in the upload cache. Raises UserError where there is no room for it."""
        await anyio.to_thread.run_sync(self.uploads.reserve, size, lambda: self.sessions.in_use(app))

    async def _limited(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while its body has at most `most` bytes."""
        if declared_bytes(Headers(scope=scope)) > most:
            raise _too_large(most)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > most else message

        async def noted(message: Message) -> None:
            if seen <= most:
                await send(message)

        try:
            await self.app(scope, counted, noted)
        except Exception:
            if seen <= most:
                raise
        if seen > most:
            raise _too_large(most)

    async def _called(
        self, called: re.Match[str], headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            await _answer(UserError("call_form"), 415)(scope, receive, send)
            return
        body = await read_body(receive, LARGEST_CALL_BYTES, declared_bytes(headers))
        if body is None:
            raise _too_large(LARGEST_CALL_BYTES)
        blocks = scope["app"].get_blocks()
        if len(body) > LARGEST_OTHER_BYTES:  # it may have a picture as a data: URL
            await self._reserve(len(body), scope["app"])
        checked = self._with_room(blocks, await anyio.to_thread.run_sync(checked_call, blocks, called, body))
        if session := checked.body.get("session_hash"):
            self.sessions.used(session)
            self.uploads.named(session, checked.body)
        content = json.dumps(checked.body).encode()
        with self._joining(checked):
            await self.app(with_length(scope, content), body_once(content, receive), send)

    def _with_room(self, blocks: Any, checked: CheckedCall) -> CheckedCall:
        """`checked`, if it needs no model or there is room in the model's queue.

        Otherwise one of the page's events becomes one of REFUSED, and a script's call raises UserError.
        """
        if not checked.computes:
            return checked
        if self._joined + calls_in(blocks, MODEL_QUEUE) < MOST_COMPUTING:
            return checked
        error = UserError(FULL, most=MOST_COMPUTING)
        if "fn_index" in checked.body:
            return refused_event(blocks, checked.body, error)
        raise error

    @contextlib.contextmanager
    def _joining(self, checked: CheckedCall) -> Iterator[None]:
        """A context in which a call is counted that Gradio may not have in its queue yet."""
        self._joined += checked.computes
        try:
            yield
        finally:
            self._joined -= checked.computes


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


def _answer(error: UserError, status: int | None = None) -> JSONResponse:
    """The answer to a request that is refused. status: None for that of the error's code."""
    # "error" as in Gradio's own answers to calls, "detail" as in all its others, which the page shows.
    return JSONResponse({"error": str(error), "detail": str(error)}, status or STATUS.get(error.code, 422))


def _too_large(most: int) -> UserError:
    return UserError("call_bytes", limit=joined(memory(most)))
