"""The process that plans: what it is asked and answers, its mistakes, its end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import tiny_config
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.plan import PLANNED, PlanRequest
from xcomposer_ui.planning.planner_process import PlannerProcess, RunShape

SHAPE = RunShape("m", "cpu", "full", "float16", (64, 48), 80, 12, 9)
ANSWERING = "import sys\nfor line in sys.stdin: print({said!r}, flush=True)"


def scripted(said: str, idle_sec: float = 60) -> PlannerProcess:
    return PlannerProcess((sys.executable, "-c", ANSWERING.format(said=said)), idle_sec)


def test_an_answer_comes_from_the_other_process() -> None:
    worker = scripted('{"answer": 7}')
    assert worker.predict(SHAPE) == worker.predict(SHAPE) == 7
    worker.close()


def test_a_users_mistake_crosses_the_boundary() -> None:
    worker = scripted('{"mistake": "no_such_model", "facts": {"name": "x"}}')
    with pytest.raises(UserError) as caught:
        worker.plan(PlanRequest("x"))
    assert (caught.value.code, caught.value.facts) == ("no_such_model", {"name": "x"})
    worker.close()


def test_what_breaks_is_said_and_the_next_question_starts_anew() -> None:
    worker = scripted('{"broke": "KeyError: 1"}')
    with pytest.raises(UserError, match="KeyError: 1"):
        worker.predict(SHAPE)
    worker.close()
    ending = PlannerProcess((sys.executable, "-c", "raise SystemExit(3)"))
    for _ in range(2):
        with pytest.raises(UserError, match="exit status 3"):
            ending.predict(SHAPE)


def test_an_idle_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def noted(*given: Any, **named: Any) -> subprocess.Popen[str]:
        started.append(popen(*given, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    worker = scripted('{"answer": 7}', idle_sec=0.05)
    assert worker.predict(SHAPE) == 7
    started[0].wait()  # nothing but the worker ends it
    assert worker.predict(SHAPE) == 7
    assert len(started) == 2
    worker.close()


@pytest.mark.slow
def test_the_real_process_plans_and_predicts(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    worker = PlannerProcess()
    # So little memory that nothing fits and no largest batch is searched for, which takes most of a plan.
    plan = worker.plan(PlanRequest(str(tmp_path), device="cpu", new_tokens=4, memory_bytes=2 << 20))
    assert [strategy.strategy for strategy in plan.strategies] == list(PLANNED)
    unified = next(strategy for strategy in plan.strategies if strategy.strategy == "unified")
    shape = RunShape(str(tmp_path), "cpu", "unified", "float16", (1024, 768), plan.prompt_tokens, 0, 4)
    assert worker.predict(shape) == unified.total_bytes
    with pytest.raises(UserError) as caught:
        worker.predict(RunShape(**{**vars(shape), "model": "nothing"}))
    assert caught.value.code == "no_such_model"
    worker.close()


def test_a_bug_ends_neither_side() -> None:
    from xcomposer_ui.backends.planning.__main__ import serve  # brings torch

    out = io.StringIO()
    serve(['{"predict": {}}', '{"predict": {"picture": null}}'], out)
    assert [list(json.loads(line)) for line in out.getvalue().splitlines()] == [["broke"], ["broke"]]
