"""What a served page holds over many runs: memory, threads, files. `python -m tests.benchmarks.many_runs N`.

The page is served with the embedded model in another process. Four visitors at once, each of whom uploads a picture,
runs ten questions, two of which fail, and closes the page; a script makes every fourth run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks.class_of_fifty import Pupil, pupils
from tests.benchmarks.measure import report
from tests.ui.calls import values
from tests.ui.visitor import FRESH, Visitor, config_of, served

MIB = 1 << 20
AT_ONCE, RUNS_EACH, PICTURES, SAMPLES = 4, 10, 30, 10


class Watch:
    """Counts runs, and prints what the server holds after every `every` of them."""

    def __init__(self, server: psutil.Process, cache: Path, every: int) -> None:
        self.rows: list[dict[str, float]] = []
        self._server, self._cache, self._every = server, cache, every
        self._runs, self._began = 0, time.monotonic()

    def run(self) -> None:
        self._runs += 1
        if self._runs % self._every == 0:
            self.rows.append(self._row())
            print("  ".join(f"{name} {value:,.0f}" for name, value in self.rows[-1].items()), flush=True)

    def _row(self) -> dict[str, float]:
        files = [file for file in self._cache.rglob("*") if file.is_file()]
        return {
            "runs": self._runs,
            "MiB resident": self._server.memory_info().rss / MIB,
            "threads": self._server.num_threads(),
            "open files": self._server.num_fds(),
            "files in the cache": len(files),
            "their KiB": sum(file.stat().st_size for file in files) / 1024,
            "seconds": time.monotonic() - self._began,
        }


async def visit(address: str, config: dict[str, Any], pupil: Pupil, watch: Watch) -> None:
    """One page from its opening to its end."""
    async with (
        Visitor(address, config) as visitor,
        httpx.AsyncClient(base_url=address, timeout=600, limits=FRESH) as script,
    ):
        picture = await visitor.upload(pupil.picture)
        visitor.set(picture=picture, question=pupil.question)
        for n in range(RUNS_EACH):
            if n % 4 == 3:
                call = {"data": values(image=picture, question=pupil.question, max_new_tokens=16)}
                event = (await script.post("/gradio_api/call/run", json=call)).raise_for_status().json()["event_id"]
                assert "event: complete" in (await script.get(f"/gradio_api/call/run/{event}")).text
            else:
                visitor.set(strategy="as_is" if n in (1, 6) else ("unified", "autocast", "full")[n % 3])
                async for _ in visitor.press("run"):
                    pass
                assert visitor.shown("run-status") and not visitor.shown("notice"), visitor.shown("notice")
            watch.run()


async def visits(address: str, class_: Iterator[Pupil], count: int, watch: Watch) -> None:
    """`count` visits, AT_ONCE of them at a time."""
    config = await config_of(address)
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await visit(address, config, next(class_), watch)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=1000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        class_ = itertools.cycle(pupils(Path(folder), PICTURES))
        with served(cache) as (address, process):
            watch = Watch(psutil.Process(process.pid), cache, max(1, runs // SAMPLES))
            asyncio.run(visits(address, class_, -(-runs // RUNS_EACH), watch))
    first, last = watch.rows[0], watch.rows[-1]
    report(
        f"after {first['runs']:,.0f} and after {last['runs']:,.0f} runs",
        [(name, f"{first[name]:,.0f}, {last[name]:,.0f}") for name in first if name not in ("runs", "seconds")],
        {"rows": watch.rows},
    )


if __name__ == "__main__":
    main()
