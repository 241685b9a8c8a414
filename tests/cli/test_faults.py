"""What breaks from outside, for real: a kill in the middle of a batch, a checkpoint that disappears, SIGTERM."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint, write_questions
from tests.ui.calls import awaited
from tests.ui.visitor import Visitor, config_of, served
from xcomposer_ui.__main__ import main
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Finished
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LINES = 12
WAIT_SEC = 120  # for what takes a second or two


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint beside a file of questions."""
    folder = tmp_path_factory.mktemp("faults")
    write_questions(folder, LINES)
    return folder


def batch(command: str, folder: Path, output: Path) -> list[str]:
    more = ["--strategy", "unified", "--batch-size", "1"] if command == "run" else ["--repeats", "1"]
    questions, model = str(folder / "questions.jsonl"), str(folder / "model")
    return [
        command, "--batch", questions, "--output", str(output), "--model", model, "--device", "cpu",
        "--max-new-tokens", "3", *more,
    ]  # fmt: skip


def started(arguments: list[str], **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "xcomposer_ui", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **more)


def lines_of(file: Path) -> list[int]:
    return [json.loads(line)["line"] for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("command", "name"), [("run", "out.jsonl"), ("compare", "out")])
def test_a_batch_that_was_killed_goes_on_without_losing_or_doubling_a_line(
    command: str, name: str, folder: Path, tmp_path: Path
) -> None:
    arguments = batch(command, folder, tmp_path / name)
    for _ in range(2):  # the second time in the middle of what was resumed
        process = started(arguments)
        assert process.stderr is not None
        new = 0
        for line in process.stderr:
            new += line.startswith("line ") and "before" not in line
            if new == 3:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(WAIT_SEC) == -signal.SIGKILL
    done = lines_of(tmp_path / "out.jsonl")
    assert 4 <= len(done) < LINES
    assert main(arguments) == 0
    assert sorted(lines_of(tmp_path / "out.jsonl")) == list(range(1, LINES + 1))
    if command == "compare":
        rows = (tmp_path / "out.csv").read_text("utf-8").splitlines()[1:]
        assert sorted({int(row.split(",")[0]) for row in rows}) == list(range(1, LINES + 1))
        assert len(rows) == len(set(rows))


@pytest.mark.parametrize(("command", "name"), [("run", "out.jsonl"), ("compare", "out")])
def test_a_full_disk_is_a_sentence_and_what_was_written_stays_whole(
    command: str, name: str, folder: Path, tmp_path: Path
) -> None:
    arguments = batch(command, folder, tmp_path / name)
    limit = 30_000 if command == "compare" else 6_000
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    process = started(arguments, preexec_fn=full)
    _, said = process.communicate(timeout=WAIT_SEC)
    assert process.returncode == 2, said
    assert "cannot be written: File too large" in said.splitlines()[-1] and "Traceback" not in said
    done = lines_of(tmp_path / "out.jsonl")
    assert done and len(done) < LINES
    assert main(arguments) == 0  # there is room again
    assert sorted(lines_of(tmp_path / "out.jsonl")) == list(range(1, LINES + 1))


def test_a_checkpoint_that_is_removed_between_two_runs_is_a_sentence(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    runner = Runner(Settings(str(model), device="cpu"))
    image = Image.new("RGB", (8, 8), "red")

    def run(strategy: str) -> Finished:
        *_, last = runner.run(Request("What?", image, strategy=strategy, max_new_tokens=2))
        assert isinstance(last, Finished)
        return last

    run("unified")
    shutil.rmtree(model)
    run("unified")  # its weights are in memory
    with pytest.raises(UserError) as raised:
        run("full")
    assert str(tmp_path) not in str(raised.value).replace(str(model), "")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    with served(tmp_path / "uploads") as (address, process):
        yield address, psutil.Process(process.pid)


def test_sigterm_during_a_run_ends_the_lab_and_its_children(lab: tuple[str, psutil.Process], folder: Path) -> None:
    address, process = lab

    async def visit() -> list[psutil.Process]:
        async with Visitor(address, await config_of(address)) as visitor:
            picture = await visitor.upload(folder / "a.png")
            visitor.set(picture=picture, question="Describe the image.", temperature=5, top_p=1, max_new_tokens=4000)
            async for _ in visitor.press("run"):
                if visitor.shown("run-status").startswith("Running") and (children := process.children(recursive=True)):
                    os.kill(process.pid, signal.SIGTERM)
                    return children
        raise AssertionError("the run ended by itself")

    children = awaited(visit())
    gone, alive = psutil.wait_procs([process, *children], timeout=WAIT_SEC)
    assert process in gone and not alive
