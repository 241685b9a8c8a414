"""From process start to the first page, against a Gradio page with two components.

python -m tests.benchmarks.startup [--repeats N]
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.benchmarks.measure import alternating, median, paired_ratio, report

ROOT = Path(__file__).parents[2]
BARE_PAGE = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as app:
    box = gr.Textbox()
    gr.Button().click(lambda text: text, box, box)
app.launch(server_port={port}, quiet=True, ssr_mode=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    figures = alternating(
        {
            "lab": lambda: first_page([sys.executable, "app.py", "--port", "{port}"]),
            "bare": lambda: first_page([sys.executable, "-c", BARE_PAGE]),
        },
        repeats,
    )
    ratio = paired_ratio(figures["lab"], figures["bare"])
    report(
        "process start to first page, against a Gradio page with two components",
        [(name, f"{median(figures[name]):.2f} s") for name in ("lab", "bare")] + [("ratio", f"{ratio:.3f}")],
        {"ratio": ratio},
    )


def first_page(command: list[str]) -> float:
    """Seconds from starting the process until its page answers."""
    port = _free_port()
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    page.read()
                return time.perf_counter() - started
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    raise RuntimeError(f"{command[1]} ended before its page was up") from None
                time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
