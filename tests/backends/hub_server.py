"""A hub on this machine: serves one repository over HTTP, as far as downloading a snapshot of it asks."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """files: path -> content of repository `name`. refuse: a status to answer everything with, and its error code.

    break_at: bytes of a file after which the connection ends, once; None for never. lost: files that it fails to read.
    asked: (method, path, Range header) of each request.
    """

    name: str
    files: dict[str, bytes]
    refuse: tuple[int, str] | None = None
    break_at: int | None = None
    lost: frozenset[str] = frozenset()
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        # A shutdown waits for the next poll.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def listing(self) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in self.files.items()
        ]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error to write on stderr, where other tests look."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Range")))
            if hub.refuse is not None:
                status, code = hub.refuse
                return self._send(status, b"{}", body, {"X-Error-Code": code, "X-Error-Message": "refused"})
            if path.startswith(f"/api/models/{hub.name}/tree/"):
                return self._json(hub.listing(), body)
            if path.startswith(f"/api/models/{hub.name}"):
                siblings = [{"rfilename": name} for name in hub.files]
                return self._json({"id": hub.name, "sha": REVISION, "siblings": siblings, "tags": []}, body)
            name = path.removeprefix(f"/{hub.name}/resolve/").partition("/")[2]
            if name not in hub.files:
                return self._send(404, b"", body, {"X-Error-Code": "EntryNotFound"})
            if body and name in hub.lost:
                return self._send(404, b"", body, {})
            return self._file(hub.files[name], body)

        def _file(self, content: bytes, body: bool) -> None:
            start = 0
            if body and (asked := self.headers.get("Range")):
                start = int(asked.removeprefix("bytes=").split("-")[0])
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": REVISION}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            part = content[start:]
            if body and hub.break_at is not None and len(part) > hub.break_at:
                self.send_response(206 if start else 200)
                for key, value in {**headers, "Content-Length": str(len(part))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(part[: hub.break_at])
                hub.break_at = None
                self.close_connection = True
                return
            self._send(206 if start else 200, part, body, headers)

        def _json(self, document: object, body: bool) -> None:
            self._send(200, json.dumps(document).encode(), body, {"Content-Type": "application/json"})

        def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler
