"""Questions a second by one worker and by two: `python -m tests.benchmarks.workers [--questions N] [--workers 1 2]`.

`run --batch` with the embedded model, one question in a call, from the first result to the last: the workers are warm.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from tests.benchmarks.class_of_fifty import pupils
from tests.benchmarks.measure import report
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.batches import finished_batch
from xcomposer_ui.runtime.worker_pool import WorkerPool


def questions_a_second(workers: int, requests: list[list[Request]]) -> float:
    """The rate of `workers` on `requests`, of which the first few are not counted."""
    left = iter(requests)
    warm_up = 2 * workers
    with WorkerPool(Settings(device="cpu"), workers) as pool:
        results = pool.completed(finished_batch, lambda: next(left, None), lambda request: request)
        for _ in itertools.islice(results, warm_up):
            pass
        began, done = time.perf_counter(), 0
        for _ in results:
            done += 1
        return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        class_ = pupils(Path(folder), 30)
        chosen = itertools.islice(itertools.cycle(class_), arguments.questions)
        requests = [[Request(p.question, open_picture(str(p.picture)), strategy="unified")] for p in chosen]
        rates = {count: questions_a_second(count, requests) for count in arguments.workers}
    first = next(iter(rates.values()))
    rows = [
        (f"{count} workers", f"{rate:.1f} questions a second, {rate / first:.2f} times")
        for count, rate in rates.items()
    ]
    report("questions by workers on this machine's processor", rows, {"rates": rates})


if __name__ == "__main__":
    main()
