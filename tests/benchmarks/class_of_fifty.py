"""Fifty visitors at once on one page, each with a picture and a question of its own; and pages that are closed in the
middle of a run: `python -m tests.benchmarks.class_of_fifty [--visitors N] [--seconds N] [--closings N]`.

The page is served with the embedded model in another process; the visitors speak to it over HTTP as browsers do.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import itertools
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageDraw

from tests.benchmarks.measure import median, report
from tests.ui.calls import values
from tests.ui.visitor import Visitor, config_of, served
from xcomposer_ui.core.events import Finished
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black")
QUESTIONS = (
    "What color is the {shape}?",
    "How many shapes are there?",
    "What shape is {colour}?",
    "What is in the picture?",
)
STRATEGY = "unified"
CROWD = 100
PLACE = re.compile(r"(\d+) are before you|(You are next)|(Another run holds)")


@dataclass
class Pupil:
    """One visitor: its picture, its question, the right answer, and what it saw.

    places: how many runs were before the present one, each time that the page said so.
    """

    picture: Path
    question: str
    answer: str
    waits: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


@dataclass
class Lesson:
    """What happened, over all visitors. ended: runs of each visitor. worse: places that got worse while one waited.

    largest_lead: how many runs a visitor was ahead of another at most. said: places that the page said.
    """

    ended: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    said: int = 0
    worse: int = 0
    largest_lead: int = 0


def pupils(folder: Path, count: int) -> list[Pupil]:
    """Visitors with different pictures, and the answers of the model alone, in this process."""
    chosen, runner, found = random.Random(0), Runner(Settings()), []
    for n in range(count):
        colour, shape = COLOURS[n % len(COLOURS)], ("circle", "square")[n % 2]
        image = Image.new("RGB", (chosen.randrange(200, 400), chosen.randrange(200, 400)), "white")
        x, y, size = chosen.randrange(20, 80), chosen.randrange(20, 80), chosen.randrange(60, 110)
        draw = ImageDraw.Draw(image)
        (draw.ellipse if shape == "circle" else draw.rectangle)((x, y, x + size, y + size), colour)
        image.save(file := folder / f"{n}.png")
        question = QUESTIONS[n % len(QUESTIONS)].format(shape=shape, colour=colour)
        *_, last = runner.run(Request(question, open_picture(str(file)), strategy=STRATEGY))
        assert isinstance(last, Finished) and last.result.answer
        found.append(Pupil(file, question, last.result.answer))
    return found


async def attend(number: int, pupil: Pupil, address: str, config: dict[str, Any], until: float, lesson: Lesson) -> None:
    """Ask the same question again and again."""
    async with Visitor(address, config) as visitor:
        visitor.set(picture=await visitor.upload(pupil.picture), question=pupil.question, strategy=STRATEGY)
        while time.monotonic() < until:
            asked, pupil.places = time.monotonic(), []
            try:
                await run_once(visitor, pupil, lesson, number)
            except (RuntimeError, httpx.HTTPError) as error:
                lesson.lost.append(f"{type(error).__name__}: {error}")
                continue
            pupil.waits.append(time.monotonic() - asked)


async def run_once(visitor: Visitor, pupil: Pupil, lesson: Lesson, number: int) -> None:
    """One run: the places that the page says meanwhile, and the answer."""
    async for _ in visitor.press("run"):
        place = PLACE.search(visitor.shown("run-status"))
        if place and place[3] is None:
            pupil.places.append(int(place[1] or 1))
    note_end(pupil, lesson, number)
    turns = re.findall(r'class="xl-answer[^"]*">(.*?)</p>', visitor.html("chat"), re.S)
    answer = html.unescape(re.sub(r"<[^>]*>", "", turns[-1])).strip() if turns else visitor.shown("notice")
    if answer != pupil.answer:
        pupil.wrong.append(answer)


def note_end(pupil: Pupil, lesson: Lesson, number: int) -> None:
    lesson.worse += sum(later > earlier for earlier, later in pairwise(pupil.places))
    lesson.said += len(pupil.places)
    lesson.ended[number] += 1
    lesson.largest_lead = max(lesson.largest_lead, max(lesson.ended.values()) - min(lesson.ended.values()))


async def closings(pupil: Pupil, address: str, config: dict[str, Any], count: int) -> list[float]:
    """Seconds from closing a page in the middle of a long run until the next visitor's run begins, each time."""
    seconds: list[float] = []
    seeds = itertools.count()
    async with Visitor(address, config) as waiting:
        waiting.set(picture=await waiting.upload(pupil.picture), question=pupil.question, strategy=STRATEGY)
        while len(seconds) < count:
            async with Visitor(address, config) as leaving:
                # Sampled from nearly all tokens alike, an answer has no end; one that has is not counted.
                leaving.set(picture=await leaving.upload(pupil.picture), question="Describe the image.",
                            strategy=STRATEGY, temperature=5, top_p=1, max_new_tokens=2000,
                            seed=next(seeds))  # fmt: skip
                async for _ in leaving.press("run"):
                    if leaving.shown("run-status").startswith("Running"):
                        break
                steps = waiting.press("run")
                waits = await _until(steps, lambda: PLACE.search(waiting.shown("run-status")) is not None)
                closed = time.monotonic()
            if waits:
                await _until(steps, lambda: PLACE.search(waiting.shown("run-status")) is None)
                seconds.append(time.monotonic() - closed)
            async for _ in steps:
                pass
    return seconds


async def _until(steps: AsyncIterator[None], reached: Callable[[], bool]) -> bool:
    """Take steps until `reached`; False where they ended before."""
    async for _ in steps:
        if reached():
            return True
    return False


async def refusals(address: str, until: float) -> list[float]:
    """Seconds until a wrong call is refused, again and again while the class works."""
    seconds = []
    body = {"data": values(seed="1")}
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        while time.monotonic() < until:
            asked = time.monotonic()
            refused = await client.post("/gradio_api/call/run", json=body)
            seconds.append(time.monotonic() - asked)
            assert refused.status_code == 422
            await asyncio.sleep(0.1)
    return seconds


async def crowd(address: str, count: int) -> tuple[int, Counter[str]]:
    """(calls of scripts that were taken, the sentences of those that were not), of `count` at once."""
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        body = {"data": values(max_new_tokens=1)}
        answers = await asyncio.gather(*(client.post("/gradio_api/call/run", json=body) for _ in range(count)))
        taken = [answer.json()["event_id"] for answer in answers if answer.status_code == 200]
        await asyncio.gather(*(client.get(f"/gradio_api/call/run/{event}") for event in taken))
        return len(taken), Counter(f"{a.status_code}: {a.json()['error']}" for a in answers if a.status_code != 200)


async def visit(arguments: argparse.Namespace, class_: list[Pupil], address: str) -> None:
    config = await config_of(address)
    first = Pupil(class_[0].picture, class_[0].question, class_[0].answer)
    await attend(0, first, address, config, time.monotonic() + 1, Lesson())  # the model is loaded
    lesson, began = Lesson(Counter(dict.fromkeys(range(len(class_)), 0))), time.monotonic()
    tasks = [attend(n, p, address, config, began + arguments.seconds, lesson) for n, p in enumerate(class_)]
    refused, *_ = await asyncio.gather(refusals(address, began + arguments.seconds), *tasks)
    took = time.monotonic() - began
    taken, full = await crowd(address, CROWD)
    seconds = await closings(first, address, config, arguments.closings) if arguments.closings else [0.0]
    waits = [wait for p in class_ for wait in p.waits]
    wrong = [(p.answer, w) for p in class_ for w in p.wrong]
    runs = [len(p.waits) for p in class_]
    report(
        f"{len(class_)} visitors for {arguments.seconds} s",
        [
            ("answers", f"{len(waits)} in {took:.1f} s, {min(runs)} to {max(runs)} each"),
            ("not the answer of the model alone", f"{len(wrong)} {wrong[:3]}"),
            ("lost", f"{len(lesson.lost)} {Counter(lesson.lost).most_common(3)}"),
            ("from the click to the answer", f"median {median(waits):.1f} s, longest {max(waits):.1f} s"),
            ("places in the queue that the page said", f"{lesson.said:,}; got worse: {lesson.worse}"),
            ("most runs that one visitor was ahead of another", str(lesson.largest_lead)),
            ("a wrong call was refused", f"{len(refused)} times, after {median(refused) * 1000:.0f} ms, "
             f"at most {max(refused) * 1000:.0f} ms"),
            (f"{CROWD} calls of scripts at once", f"{taken} taken; {dict(full)}"),
            ("closed pages", f"{arguments.closings}; the next run began after {median(seconds):.2f} s, "
             f"at most {max(seconds):.2f} s"),
        ],
        {"waits_sec": waits, "wrong": len(wrong), "lost": len(lesson.lost), "closed_sec": seconds,
         "refused_sec": refused},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--closings", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        class_ = pupils(Path(folder), arguments.visitors)
        with served(Path(folder) / "cache") as (address, _):
            asyncio.run(visit(arguments, class_, address))


if __name__ == "__main__":
    main()
