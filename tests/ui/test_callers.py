"""Work ends with its caller: a page that is closed, or a script that disconnects, while nothing is new for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.planning.scripted import ScriptedPlans, a_plan
from tests.runtime.test_runner import ScriptedBackend
from tests.ui.calls import awaited, compare_values, values
from tests.ui.scripted import ScriptedRunner
from tests.ui.visitor import Visitor, config_of
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.plan import Plan, PlanRequest
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.serve import launch

WAIT_SEC = 60


class Silent(ScriptedBackend):
    """Computes until it is stopped, and shows no token. begun: set once it computes. ended: set once it is stopped."""

    def __init__(self) -> None:
        super().__init__("embedded", "cpu")
        self.pause_sec = 0
        self.begun, self.ended = threading.Event(), threading.Event()

    def generate(self, request: Request, progress: Progress) -> CallResult:
        progress.text = lambda: ""
        self.asked.append(request)
        self.begun.set()
        if progress.stop.wait(WAIT_SEC):
            self.ended.set()
        return CallResult(Measurement(), "", stopped=True)


@pytest.fixture
def silent() -> Silent:
    return Silent()


@pytest.fixture
def address(silent: Silent) -> Iterator[str]:
    runner = Runner(Settings(port=0), lambda model, device: silent)
    app, address, _ = launch(runner.settings, runner, ScriptedPlans())
    yield address
    app.close()


def test_a_run_ends_when_its_page_is_closed_before_the_first_token(silent: Silent, address: str, picture: str) -> None:
    async def visit() -> None:
        async with Visitor(address, await config_of(address)) as visitor:
            visitor.set(picture=await visitor.upload(Path(picture)), question="What?")
            async for _ in visitor.press("run"):
                if silent.begun.is_set():
                    break

    awaited(visit())
    assert silent.ended.wait(WAIT_SEC / 2)


@pytest.mark.parametrize(
    ("endpoint", "data"), [("run", values()), ("compare", compare_values())], ids=["run", "compare"]
)
def test_a_call_ends_when_its_script_disconnects(
    silent: Silent, address: str, endpoint: str, data: list[object]
) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(base_url=f"{address}gradio_api/call", timeout=WAIT_SEC) as script:
            event = (await script.post(f"/{endpoint}", json={"data": data})).raise_for_status().json()["event_id"]
            async with script.stream("GET", f"/{endpoint}/{event}"):
                assert await asyncio.to_thread(silent.begun.wait, WAIT_SEC)

    awaited(call())
    assert silent.ended.wait(WAIT_SEC / 2)
    assert len(silent.asked) == 1  # a comparison goes on to no other run


class SlowPlans(ScriptedPlans):
    """Plans the model “org/slow” until its caller is gone."""

    def plan(self, request: PlanRequest, gone: Callable[[], bool] = lambda: False) -> Plan:
        self.asked.append(request)
        deadline = time.monotonic() + WAIT_SEC
        while request.model == "org/slow" and time.monotonic() < deadline:
            if gone():
                raise UserError("given_up")
            time.sleep(0.05)
        return a_plan(request)


def test_a_second_press_plans_what_the_form_says_then(runner: ScriptedRunner) -> None:
    plans = SlowPlans()
    app, address, _ = launch(Settings(port=0), runner, plans)  # type: ignore[arg-type]  # the double has its interface

    async def visit() -> Visitor:
        async with Visitor(address, await config_of(address)) as visitor:
            visitor.set(plan_model="org/slow")
            first = visitor.press("plan")
            await anext(first)
            assert "Planning slow" in visitor.shown("planned") and visitor.html("plan") == "Planning…"
            visitor.set(plan_model="org/other")
            async for _ in visitor.press("plan"):
                pass
            return visitor

    try:
        visitor = awaited(visit())
    finally:
        app.close()
    assert [request.model for request in plans.asked] == ["org/slow", "org/other"]
    assert "org/other" in visitor.shown("planned") and not visitor.html("plan-notice")
    assert visitor.html("plan") == "Plan"
