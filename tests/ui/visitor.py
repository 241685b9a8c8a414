"""A visitor of a served page without a browser: what the page's script sends, and what it shows of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
from gradio_client.utils import apply_diff

ROOT = Path(__file__).parents[2]
API = "/gradio_api"
FILE_META = {"_type": "gradio.FileData"}
START_SEC = 180.0
FRESH = httpx.Limits(keepalive_expiry=2)
"""The server closes idle connections after five seconds."""


@contextlib.contextmanager
def served(cache: Path, *flags: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the page with the embedded model in another process; (its address, the process). cache: for its uploads."""
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), *flags], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, "GRADIO_TEMP_DIR": str(cache), "GRADIO_ANALYTICS_ENABLED": "False"},
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SEC
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{address}/", timeout=10).raise_for_status()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the page did not come up")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def config_of(address: str) -> dict[str, Any]:
    """The components and events of the page at `address`, which its visitors share."""
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        return dict((await client.get("/config")).raise_for_status().json())


class Visitor:
    """One page of one browser, open within its context. values: of the page's components, by id.

    Closing the context closes the page: its streams end, whatever they wait for. connected: set while its stream of
    messages is open; a server cannot notice the end of a page that closed before.
    """

    def __init__(self, address: str, config: dict[str, Any]) -> None:
        self.session = uuid.uuid4().hex[:11]
        self.connected = asyncio.Event()
        self.values = {c["id"]: c["props"].get("value") for c in config["components"]}
        self._client = httpx.AsyncClient(base_url=address, timeout=600, limits=FRESH)
        self._names = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self._states = {c["id"] for c in config["components"] if c["type"] == "state"}
        self._events = config["dependencies"]
        self._messages: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Visitor:
        self._spawned(self._heartbeat())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in [*self._tasks, *filter(None, [self._stream])]:
            task.cancel()
        await self._client.aclose()

    def set(self, **values: Any) -> None:
        """Give components new values, by their element id."""
        self.values |= {self._names[name.replace("_", "-")]: value for name, value in values.items()}

    def html(self, name: str) -> str:
        """The value of an HTML component."""
        return str(self.values[self._names[name]] or "")

    def shown(self, name: str) -> str:
        """The text of an HTML component, without its marks."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.html(name))).split())

    async def upload(self, file: Path) -> dict[str, Any]:
        """Upload a picture; the value of a picture's component."""
        answer = await self._client.post(f"{API}/upload", files={"files": (file.name, file.read_bytes())})
        return {"path": answer.raise_for_status().json()[0], "orig_name": file.name, "meta": FILE_META}

    async def press(self, name: str, event: str = "click", sent: Any = None) -> AsyncIterator[None]:
        """Trigger `event` of a component; a step for each message, when it is shown. What follows the event is started.

        sent: what the page's script passes with the event. Raises RuntimeError with the sentence of a refusal.
        """
        target = [self._names[name], event]
        found = next(e for e in self._events if target in e["targets"] and e["backend_fn"])
        async for _ in self._called(found, sent):
            yield
        for following in self._events:
            if following["trigger_after"] == found["id"] and following["backend_fn"]:
                self._spawned(self._finished(following))

    def _spawned(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _heartbeat(self) -> None:
        async with self._client.stream("GET", f"{API}/heartbeat/{self.session}") as stream:
            async for _ in stream.aiter_raw():
                pass

    async def _finished(self, event: dict[str, Any]) -> None:
        async for _ in self._called(event):
            pass

    async def _called(self, event: dict[str, Any], sent: Any = None) -> AsyncIterator[None]:
        data = [None if part in self._states else self.values[part] for part in event["inputs"]]
        body = {"data": data, "fn_index": event["id"], "session_hash": self.session, "event_data": sent}
        if not event["queue"]:
            answer = await self._client.post(f"{API}/run/predict", json=body)
            self._show(event, answer.raise_for_status().json()["data"])
            return
        joined = await self._client.post(f"{API}/queue/join", json=body)
        if joined.status_code != 200:
            raise RuntimeError(joined.json().get("detail"))
        messages = self._messages.setdefault(joined.json()["event_id"], asyncio.Queue())
        if self._stream is None or self._stream.done():
            self._stream = asyncio.create_task(self._dispatch())
        so_far: list[Any] | None = None
        while True:
            message = await messages.get()
            if message["msg"] == "process_generating":
                new = message["output"]["data"]
                so_far = new if so_far is None else [apply_diff(*pair) for pair in zip(so_far, new, strict=True)]
                self._show(event, so_far)
                yield
            elif message["msg"] == "process_completed":
                if not message["success"]:
                    raise RuntimeError(message["output"].get("error"))
                self._show(event, message["output"]["data"])
                yield
                return
            elif message["msg"] in ("unexpected_error", "server_stopped"):
                raise RuntimeError(message.get("message"))

    async def _dispatch(self) -> None:
        """Pass on the messages of the page's stream, one for all of its events, until the server ends it."""
        query = {"session_hash": self.session}
        async with self._client.stream("GET", f"{API}/queue/data", params=query) as stream:
            self.connected.set()
            async for line in stream.aiter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if event := message.get("event_id"):
                    self._messages.setdefault(event, asyncio.Queue()).put_nowait(message)
                elif message.get("msg") == "unexpected_error":
                    for messages in self._messages.values():
                        messages.put_nowait(message)
        self.connected.clear()

    def _show(self, event: dict[str, Any], data: list[Any]) -> None:
        for part, value in zip(event["outputs"], data, strict=True):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            self.values[part] = value
