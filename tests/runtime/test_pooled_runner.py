"""The page's runner by a pool of workers, on a real local Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Finished, TextSoFar, Waiting
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime import worker_pool
from xcomposer_ui.runtime.pooled_runner import PooledRunner
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import Traced
from xcomposer_ui.ui.serve import serve

RED = Image.new("RGB", (8, 8), "red")
LONG = Request("What?", RED, strategy="full", max_new_tokens=4000, temperature=5, top_p=1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(str(write_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu", port=0)


@pytest.fixture(scope="module")
def pooled(settings: Settings) -> Iterator[PooledRunner]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    runner = PooledRunner(settings, 2)
    runner.warm_up()
    yield runner
    runner.close()
    assert not ray.is_initialized(), "the cluster was left running"


def finished(runner: Runner, request: Request) -> RunResult:
    *_, last = runner.run(request)
    assert isinstance(last, Finished)
    return last.result


def process_of(actor: Any) -> int:
    ray = pytest.importorskip("ray")
    _, facts = ray.get(actor.compute.remote(nothing, None))
    return int(facts.process)


def nothing(runner: Runner, argument: None) -> None:
    """A task without a result."""


@pytest.mark.slow
def test_its_results_are_those_of_a_runner_and_say_that_the_workers_share(
    pooled: PooledRunner, settings: Settings
) -> None:
    for strategy in ("unified", "as_is"):
        request = Request("What?", RED, strategy=strategy, max_new_tokens=6)
        expected, found = finished(Runner(settings), request), finished(pooled, request)
        assert found.answer == expected.answer
        assert (found.failure is None) == (expected.failure is None)
        assert "2 workers share this processor" in str(found.reasons["workers"])
    status = pooled.status()
    assert (status.device, status.half) == ("cpu", "float16") and "workers" in status.reasons
    budget = pooled.memory_budget()
    assert budget is not None and budget.device == "cpu"


@pytest.mark.slow
def test_two_compute_at_once_a_third_waits_and_a_closed_one_makes_room(pooled: PooledRunner) -> None:
    first, second = pooled.run(LONG), pooled.run(LONG)
    for one in (first, second):
        assert any(isinstance(event, TextSoFar) for event in one)  # both are in the middle of their answer
    third = pooled.run(Request("What?", RED, strategy="full", max_new_tokens=2))
    waiting = next(third)
    assert isinstance(waiting, Waiting) and waiting.ahead == 1
    first.close()
    *_, last = third
    assert isinstance(last, Finished)
    second.close()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_run_begins_again(pooled: PooledRunner) -> None:
    processes = {process_of(actor) for actor in pooled._pool._actors}
    run = pooled.run(Request("What?", RED, strategy="full", max_new_tokens=400, temperature=5, top_p=1))
    next(run)
    busy = next(actor for actor in pooled._pool._actors if actor not in pooled._pool._idle)
    os.kill(process_of(busy), signal.SIGKILL)
    *_, last = run
    assert isinstance(last, Finished) and last.result.answer is not None
    assert len(processes & {process_of(actor) for actor in pooled._pool._actors}) == 1


@pytest.mark.slow
def test_mistakes_and_traces_cross(pooled: PooledRunner) -> None:
    with pytest.raises(UserError):
        list(pooled.run(Request("word " * 5000, strategy="full")))
    *_, traced = pooled.trace(Request("What?", RED, strategy="as_is"))
    assert isinstance(traced, Traced) and traced.flow.error


def test_without_ray_one_sentence_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> Any:
        raise UserError("no_ray")

    monkeypatch.setattr(worker_pool, "_imported", missing)
    with pytest.raises(UserError, match="pip install"):
        serve(Settings(settings.model, workers=2, port=0))
