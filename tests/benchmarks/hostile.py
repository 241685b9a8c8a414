"""Resident memory of a running page after 100 and after 1,000 hostile inputs: `python -m tests.benchmarks.hostile`.

Serves the page with the embedded model in this process, and sends wrong values, files of the server, addresses, broken
pictures and oversized texts as a script does, one after another.
"""

from __future__ import annotations

import base64
import gc
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil

from tests.ui.calls import values
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.serve import launch

MIB = 1 << 20
FIRST, ALL = 100, 1000


def hostile() -> Iterator[dict[str, Any]]:
    """Changes to the values of a call of /run, without end."""
    for n in itertools.count():
        junk = base64.b64encode(b"\x89PNG\r\n\x1a\n" + n.to_bytes(4, "big") * 50_000).decode()
        yield from (
            {"image": {"path": "/etc/passwd"}}, {"image": {"url": "http://127.0.0.1:1/x.png"}},
            {"image": {"url": f"data:image/png;base64,{junk}"}}, {"question": "x" * 900_000 + str(n)},
            {"question": "x" * 1_100_000}, {"question": "\ud800"}, {"seed": "1"}, {"strategy": f"magic{n}"},
            {"question": [["x"] * 1000] * 20}, {"question": "word " * 1500, "max_new_tokens": 1},
        )  # fmt: skip


def send(client: httpx.Client, changed: dict[str, Any]) -> tuple[bool, float]:
    """(whether it was refused before it was queued, seconds until the answer)."""
    started = time.perf_counter()
    body = json.dumps({"data": values(**changed)})
    answered = client.post("/gradio_api/call/run", content=body, headers={"content-type": "application/json"})
    if answered.status_code == 200:
        client.get(f"/gradio_api/call/run/{answered.json()['event_id']}")
    return answered.status_code == 422, time.perf_counter() - started


def main() -> None:
    runner = Runner(Settings(port=0))
    app, address, _ = launch(runner.settings, runner)
    runner.warm_up()
    process, times = psutil.Process(), []
    with httpx.Client(base_url=address, timeout=600) as client:
        for n, changed in enumerate(itertools.islice(hostile(), ALL), 1):
            refused, seconds = send(client, changed)
            times += [seconds] if refused else []
            if n in (FIRST, ALL):
                gc.collect()
                print(f"after {n:5,} inputs: {process.memory_info().rss / MIB:,.0f} MiB resident", flush=True)
    print(f"refused at once: {len(times):,}, median {statistics.median(times) * 1000:.0f} ms, "
          f"longest {max(times) * 1000:.0f} ms")  # fmt: skip
    app.close()


if __name__ == "__main__":
    main()
