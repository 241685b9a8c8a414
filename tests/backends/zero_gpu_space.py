"""A ZeroGPU Space on a machine without a card: the lab served with the real package `spaces`.

`python -m tests.backends.zero_gpu_space FLAGS` takes the flags of app.py; with `stop` alone it shows what a stopped run
leaves (`stopped_run`). Faked are the card, which is the processor's
memory here, and the parts of PyTorch that its CPU builds lack; `Scheduler` stands for the service that lends cards.
The emulation in the page's process, the packing, forking, pickling and the client of the service are those of `spaces`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LENT = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "MIG-0", "allowToken": "token"}
QUOTA = {"left": 30, "wait": 600.0}


@dataclass
class Scheduler:
    """The service at SPACES_ZERO_DEVICE_API_URL, on a free port.

    answer: of the next requests for a card: "lend", "queue" (lent after a wait), "quota", "too long", "none".
    calls: (path, parameters) of each request. kill: end the process that is allowed the next card after a moment.
    """

    answer: str = "lend"
    kill: bool = False
    idle: bool = True
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        scheduler = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                parameters = {name: values[-1] for name, values in parse_qs(url.query).items()}
                scheduler.calls.append((url.path, parameters))
                scheduler.respond(self, url.path, parameters)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def durations(self) -> list[int]:
        """Seconds that were requested, in order."""
        return [int(parameters["durationSeconds"]) for path, parameters in self.calls if path == "/schedule"]

    def respond(self, handler: BaseHTTPRequestHandler, path: str, parameters: dict[str, str]) -> None:
        lent = json.dumps({**LENT, "idle": self.idle})
        if path == "/allow" and self.kill:
            self.kill = False
            threading.Timer(0.5, os.kill, (int(parameters["pid"]), signal.SIGKILL)).start()
        if path != "/schedule":
            return send(handler, 200, "{}")
        if self.answer == "lend":
            return send(handler, 200, lent)
        if self.answer == "queue":
            return send(handler, 200, f"event: succeeded\ndata: {lent}\n\n", kind="text/event-stream")
        if self.answer == "none":
            return send(handler, 503, "{}")
        wait = -1.0 if self.answer == "too long" else QUOTA["wait"]
        return send(handler, 429, json.dumps({**QUOTA, "wait": wait}))


def environment(scheduler: Scheduler, folder: Path) -> dict[str, str]:
    """The environment of a process that is a ZeroGPU Space, whose files are in `folder`."""
    (folder / "cgroup").write_text("1:devices:/pod\n", "utf-8")
    variables = {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": scheduler.address,
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup"),
        "ZEROGPU_OFFLOAD_DIR": str(folder / "tensors"),
        "HOME": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **variables}


def send(handler: BaseHTTPRequestHandler, status: int, body: str, kind: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("content-type", kind)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body.encode())


def fake_cuda_build() -> None:
    """Add to a CPU build of PyTorch what `spaces` reads of a CUDA build when it is imported."""
    import torch

    torch.version.cuda = torch.version.cuda or "12.8"
    for name in ("_cuda_init", "_cuda_getArchFlags"):
        if not hasattr(torch._C, name):
            setattr(torch._C, name, lambda: "")
    torch.cuda._is_in_bad_fork = in_bad_fork


def in_bad_fork() -> bool:
    """False: no process inherits a CUDA context here."""
    return False


def fake_card() -> None:
    """Let a process that is lent a card use the processor in its place, for `spaces` and for the lab."""
    import torch
    from spaces.zero import torch as emulation
    from spaces.zero.torch import patching

    from xcomposer_ui.backends import zero_gpu
    from xcomposer_ui.backends.graph_decoder import decoder_for

    def init(nvidia_uuid: str) -> None:
        assert not torch.cuda.is_initialized()
        torch.cuda.get_device_name = lambda device: nvidia_uuid
        for host in zero_gpu._HOSTS.values():
            host.local.device, host.local.decoder = "cpu", decoder_for("auto", "cpu")

    def move(callback: Callable[[int], Any] | None = None) -> None:
        for fake, original in patching.cuda_aliases.items():
            if original is not None:
                fake.data = original
        for pack in patching.tensor_packs:
            with open(pack.path(), "rb") as file:
                for stored, size, aligned in chain(*pack.batches, pack.big_tensors):
                    data = torch.frombuffer(bytearray(file.read(aligned)[:size]), dtype=torch.uint8)
                    tensor = data.view(stored.dtype).as_strided(stored.shape, stored.stride())
                    for fake in pack.fakes[stored]:
                        fake.data = tensor

    emulation.init, emulation.move = init, move


def stopped_run() -> None:
    """Stop a run after its first word and run it again. Prints as JSON how many tokens were computed of the first, how
    many a whole run computes, and the second's answer."""
    import mmap
    import time

    from xcomposer_ui.backends.run_control import TokenClock
    from xcomposer_ui.core.events import Finished, TextSoFar
    from xcomposer_ui.core.request import Request
    from xcomposer_ui.core.settings import settings_from
    from xcomposer_ui.runtime.runner import Runner
    from xcomposer_ui.ui.serve import launch

    shared = mmap.mmap(-1, 2)  # with the processes that compute: tokens, and at which of them to wait for a stop
    put = TokenClock.put

    def counted_put(clock: TokenClock, value: Any) -> None:
        shared[0] += 1
        while shared[0] == shared[1] and not clock._stop():
            time.sleep(0.01)
        put(clock, value)

    runner = Runner(settings_from())
    runner.place()
    app, _, _ = launch(settings_from(port=0), runner)
    TokenClock.put = counted_put  # type: ignore[method-assign]
    request = Request("Describe the image.", strategy="unified")
    list(runner.run(request))  # with the warm-up
    shared[0] = 0
    list(runner.run(request))
    whole, shared[0], shared[1] = shared[0], 0, 4
    events = runner.run(request)
    for event in events:
        if isinstance(event, TextSoFar):
            events.close()
            break
    *_, last = runner.run(request)  # waits for the end of the one before
    assert isinstance(last, Finished)
    print(json.dumps({"stopped": shared[0] - whole, "whole": whole, "answer": last.result.answer}), flush=True)
    app.close()


if __name__ == "__main__":
    fake_cuda_build()
    import gradio  # noqa: F401  # before `spaces`, as in the lab
    import spaces  # noqa: F401

    fake_card()
    if sys.argv[1:] == ["stop"]:
        stopped_run()
    else:
        from app import main

        sys.exit(main(sys.argv[1:]))
