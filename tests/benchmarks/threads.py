"""A short answer of the embedded model with one thread and with all of them, alone and beside busy processes.

python -m tests.benchmarks.threads [--busy N] [--repeats N]
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable

import torch
from PIL import Image

from tests.benchmarks.measure import alternating, median, paired_ratio, report
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.runtime.backend import Progress


def busy() -> None:
    """Keep one processor busy."""
    while True:
        pass


def answering(backend: LocalBackend, threads: int) -> Callable[[], float]:
    """A call that answers a question about an example picture with `threads` and returns its seconds."""
    picture = Image.open(ASSETS / "examples" / "meadow.jpg").convert("RGB")
    request = Request(
        "How many shapes are there?", picture, strategy="full", half="float16", model="embedded", max_new_tokens=16
    )

    def call() -> float:
        torch.set_num_threads(threads)
        backend.forget()
        started = time.perf_counter()
        assert backend.generate(request, Progress()).answer
        return time.perf_counter() - started

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    most = torch.get_num_threads()
    backend = open_local("embedded", "cpu")
    backend.load("float32", Progress())
    print("chosen:", backend.reasons["threads"])
    rows: list[tuple[str, str]] = []
    figures: dict[str, object] = {}
    for beside in (0, args.busy):
        processes = [multiprocessing.Process(target=busy, daemon=True) for _ in range(beside)]
        for process in processes:
            process.start()
        times = alternating({"one": answering(backend, 1), "all": answering(backend, most)}, args.repeats)
        for process in processes:
            process.kill()
        ratio = paired_ratio(times["all"], times["one"])
        name = f"beside {beside} busy processes"
        rows.append((name, f"{median(times['one']):.3f} s, {median(times['all']):.3f} s, {ratio:.2f}"))
        figures[name] = {**times, "ratio": ratio}
    report(f"a short answer with 1 thread, with {most}, and the ratio of the second to the first", rows, figures)


if __name__ == "__main__":
    main()
