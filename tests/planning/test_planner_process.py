"""The planning process: results, mistakes and breakdowns cross the boundary, and it ends when it should."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.checkpoints import tiny_config
from tests.planning.computations import (
    SHAPE,
    broken,
    endless,
    killed,
    mistaken,
    niceness_of,
    pid_of,
    threads_of,
    without_memory,
)
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.strategies import PLANNED
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import PlanRequest, RunShape
from xcomposer_ui.planning.planner_process import NICENESS, PlannerProcess

ROOT = Path(__file__).resolve().parents[2]


def wait_until_gone(pid: int) -> None:
    """Return once there is no process `pid`. Fails after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


def test_a_result_comes_from_one_other_process() -> None:
    planner = PlannerProcess(predict=pid_of)
    first = planner.predict(SHAPE)
    assert first != os.getpid()
    assert planner.predict(SHAPE) == first
    planner.close()
    wait_until_gone(first)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no niceness")
def test_the_process_gives_way_to_runs() -> None:
    planner = PlannerProcess(predict=niceness_of)
    assert planner.predict(SHAPE) == min(19, os.nice(0) + NICENESS)
    planner.close()


def test_a_run_s_threads_compute_where_they_are_known_and_else_one() -> None:
    known: list[int | None] = [None, 3, 2]
    planner = PlannerProcess(predict=threads_of, threads=lambda: known[0])
    counts = []
    while known:
        counts.append(planner.predict(SHAPE))
        known.pop(0)
    planner.close()
    assert counts == [int(os.environ.get("OMP_NUM_THREADS", 1)), 3, 2]


def test_a_users_mistake_crosses_the_boundary() -> None:
    planner = PlannerProcess(plan=mistaken)
    with pytest.raises(UserError) as caught:
        planner.plan(PlanRequest("x"))
    assert (caught.value.code, caught.value.facts) == ("no_such_model", {"name": "x"})
    planner.close()


@pytest.mark.parametrize(
    ("request_", "memory"),
    [
        (PlanRequest("x", device="cuda"), f"{7 << 30} of card"),
        (PlanRequest("x", device="cuda", memory_bytes=3 << 30), f"{3 << 30} of card"),
        (PlanRequest("x", device="cpu"), "None of card"),
    ],
)
def test_a_plan_for_a_card_that_is_lent_has_its_memory(request_: PlanRequest, memory: str) -> None:
    planner = PlannerProcess(plan=without_memory, card=lambda: MemoryBudget("cuda", 7 << 30))
    with pytest.raises(UserError, match=memory):
        planner.plan(request_)
    planner.close()


def test_what_breaks_is_said_and_ends_neither_side() -> None:
    planner = PlannerProcess(plan=mistaken, predict=broken)
    with pytest.raises(UserError, match="KeyError: 1") as caught:
        planner.predict(SHAPE)
    assert caught.value.code == "plan_broke_off"
    with pytest.raises(UserError, match="x"):
        planner.plan(PlanRequest("x"))
    planner.close()


def test_a_process_that_died_is_replaced() -> None:
    planner = PlannerProcess(plan=mistaken, predict=killed)
    for _ in range(2):
        with pytest.raises(UserError, match="terminated abruptly") as caught:
            planner.predict(SHAPE)
        assert caught.value.code == "plan_broke_off"
    with pytest.raises(UserError, match="x"):
        planner.plan(PlanRequest("x"))
    planner.close()


def test_a_computation_ends_with_its_caller_and_the_next_one_has_a_new_process() -> None:
    planner = PlannerProcess(plan=endless, predict=pid_of)
    first = planner.predict(SHAPE)
    asked = iter([False, False, True])
    with pytest.raises(UserError) as caught:
        planner.plan(PlanRequest("x"), lambda: next(asked))
    assert caught.value.code == "given_up"
    wait_until_gone(first)
    assert planner.predict(SHAPE) not in (first, os.getpid())
    planner.close()


def test_a_computation_ends_at_the_time_limit() -> None:
    planner = PlannerProcess(plan=endless, predict=pid_of, longest_sec=0.0)
    with pytest.raises(UserError, match="took longer than 0 seconds"):
        planner.plan(PlanRequest("x"))
    planner.close()


def test_a_caller_that_waits_for_its_turn_may_go() -> None:
    planner = PlannerProcess(plan=endless, predict=pid_of)
    left = threading.Event()
    ended: list[str] = []

    def first() -> None:
        try:
            planner.plan(PlanRequest("x"), left.is_set)
        except UserError as error:
            ended.append(error.code)

    thread = threading.Thread(target=first)
    thread.start()
    while not planner._lock.locked():
        pass
    with pytest.raises(UserError) as caught:
        planner.plan(PlanRequest("x"), lambda: True)
    assert caught.value.code == "given_up"
    left.set()
    thread.join(60)
    assert ended == ["given_up"]
    planner.close()


def test_a_process_that_died_while_idle_is_replaced() -> None:
    planner = PlannerProcess(predict=pid_of)
    first = planner.predict(SHAPE)
    os.kill(first, 9)
    wait_until_gone(first)
    assert planner.predict(SHAPE) not in (first, os.getpid())
    planner.close()


def test_an_idle_process_is_ended() -> None:
    planner = PlannerProcess(idle_sec=0.05, predict=pid_of)
    first = planner.predict(SHAPE)
    wait_until_gone(first)  # nothing but the timer ends it
    assert planner.predict(SHAPE) != first
    planner.close()


PROGRAM = """
import sys
from tests.planning.computations import SHAPE, pid_of
from xcomposer_ui.planning.planner_process import PlannerProcess
if __name__ == "__main__":
    planner = PlannerProcess(predict=pid_of)
    print(planner.predict(SHAPE), flush=True)
    assert "torch" not in sys.modules
    {end}
"""


@pytest.mark.parametrize("as_file", [False, True])
def test_it_starts_from_any_kind_of_main_module_and_ends_with_it(as_file: bool, tmp_path: Path) -> None:
    program = PROGRAM.format(end="")
    script = tmp_path / "script.py"
    script.write_text(program)
    command = [str(script)] if as_file else ["-c", program]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip().isdigit()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_it_ends_when_its_parent_is_killed() -> None:
    program = PROGRAM.format(end="import os; os.kill(os.getpid(), 9)")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120)
    child = Path("/proc", done.stdout.strip(), "status")
    deadline = time.monotonic() + 30
    while child.exists() and "zombie" not in child.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or "zombie" in child.read_text()


@pytest.mark.slow
def test_the_real_process_plans_and_predicts(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    planner = PlannerProcess()
    # So little memory that nothing fits and no largest batch is searched for, which takes most of a plan.
    plan = planner.plan(PlanRequest(str(tmp_path), device="cpu", new_tokens=4, memory_bytes=2 << 20))
    assert [strategy.strategy for strategy in plan.strategies] == list(PLANNED)
    unified = next(strategy for strategy in plan.strategies if strategy.strategy == "unified")
    shape = RunShape(
        str(tmp_path), "unified", "float16", (1024, 768), 0, 4, device="cpu", prompt_tokens=plan.prompt_tokens
    )
    assert planner.predict(shape) == unified.total_bytes
    with pytest.raises(UserError) as caught:
        planner.predict(RunShape(**{**vars(shape), "model": "nothing"}))
    assert caught.value.code == "no_such_model"
    planner.close()
