"""Batches by several processes on a real Ray cluster: every line once, also when a worker is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import write_questions
from xcomposer_ui.__main__ import main
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime import worker_pool
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.runtime.worker_pool import MOST_ATTEMPTS, Completed, WorkerPool

pytestmark = pytest.mark.slow
needs_ray = pytest.mark.usefixtures("cluster")
LINES = 6


@pytest.fixture
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    yield
    assert not ray.is_initialized(), "the cluster was left running"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint beside a file of questions, one line of which is invalid."""
    folder = tmp_path_factory.mktemp("pool")
    write_questions(folder, LINES, "not json")
    return folder


def records_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def square_or_die(runner: Runner, task: tuple[int, str]) -> int:
    """The square of a number; the process is killed at the first sight of a file's absence, which it then creates."""
    number, died = task
    if died and not Path(died).exists():
        Path(died).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_die(runner: Runner, task: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refused(runner: Runner, task: Any) -> None:
    raise UserError("no_question")


@needs_ray
def test_a_worker_that_is_killed_is_replaced_and_its_task_computed_again(tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path / "died") if number == 2 else "") for number in range(6)]
    waiting = iter(tasks)
    with WorkerPool(Settings(device="cpu"), 2) as pool:
        done: list[Completed[tuple[int, str], int]] = list(
            pool.completed(square_or_die, lambda: next(waiting, None), lambda task: task)
        )
    assert sorted(one.task for one in done) == tasks
    assert {one.result for one in done} == {0, 1, 4, 9, 16, 25}
    assert len({one.worker.process for one in done if one.worker}) in (2, 3)
    assert os.getpid() not in {one.worker.process for one in done if one.worker}


@needs_ray
def test_a_task_that_every_worker_dies_of_ends_with_a_sentence_and_the_rest_is_computed() -> None:
    waiting = iter([always_die, refused])
    with WorkerPool(Settings(device="cpu"), 1) as pool:
        done = list(
            pool.completed(lambda runner, function: function(runner, None), lambda: next(waiting, None), lambda f: f)
        )
    by_task = {one.task: one.result for one in done}
    assert isinstance(by_task[always_die], UserError) and str(MOST_ATTEMPTS) in str(by_task[always_die])
    assert isinstance(by_task[refused], UserError) and by_task[refused].code == "no_question"


@needs_ray
def test_a_batch_by_two_workers_has_the_records_of_one_process(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["run", "--batch", str(folder / "questions.jsonl"), "--batch-size", "1", "--strategy", "unified"]
    shared += ["--model", str(folder / "model"), "--device", "cpu", "--max-new-tokens", "4", "--json"]
    alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
    assert main([*shared, "--output", str(alone)]) == 0
    together.write_text(alone.read_text("utf-8").split("\n")[0] + "\n", "utf-8")  # resumed: it has the first line
    assert main([*shared, "--output", str(together), "--workers", "2"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["answered"], summary["resumed"], len(summary["skipped"])) == (LINES, 1, 1)

    found, expected = records_of(together), records_of(alone)
    assert sorted(record["line"] for record in found) == [record["line"] for record in expected]
    answers = {record["line"]: record["answer"] for record in found}
    assert answers == {record["line"]: record["answer"] for record in expected}
    workers = [record["worker"] for record in found if "worker" in record]
    assert len(workers) == LINES - 1
    assert {worker["device"] for worker in workers} == {"cpu"}
    assert len({worker["process"] for worker in workers}) == 2


@needs_ray
def test_a_comparison_of_many_questions_by_two_workers(folder: Path, tmp_path: Path) -> None:
    questions = tmp_path / "two.jsonl"
    questions.write_text("\n".join((folder / "questions.jsonl").read_text("utf-8").split("\n")[:2]), "utf-8")
    (tmp_path / "a.png").write_bytes((folder / "a.png").read_bytes())
    arguments = ["compare", "--batch", str(questions), "--model", str(folder / "model"), "--device", "cpu"]
    arguments += ["--output", str(tmp_path / "out"), "--repeats", "1", "--max-new-tokens", "3", "--workers", "2"]
    assert main(arguments) == 0
    found = records_of(tmp_path / "out.jsonl")
    assert sorted(record["line"] for record in found) == [1, 2]
    assert all(record["runs"] and record["divergence"] and record["worker"] for record in found)
    assert len((tmp_path / "out.csv").read_text("utf-8").splitlines()) > 2


def test_without_ray_one_sentence_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise UserError("no_ray")

    monkeypatch.setattr(worker_pool, "_imported", missing)
    arguments = ["run", "--batch", str(folder / "questions.jsonl"), "--strategy", "full", "--workers", "2"]
    assert main([*arguments, "--model", str(folder / "model"), "--device", "cpu"]) == 2
    assert "pip install 'ray" in capsys.readouterr().err


@needs_ray
def test_more_gpus_than_there_are_and_a_cluster_that_is_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="GPUs"):
        WorkerPool(Settings(device="cuda"), 2)
    with pytest.raises(UserError, match="no Ray cluster"):
        WorkerPool(Settings(device="cpu"), 2, "127.0.0.1:9")
    with pytest.raises(UserError):
        WorkerPool(Settings(device="cpu"), 0)
