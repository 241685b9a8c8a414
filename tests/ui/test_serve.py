"""Putting the page up."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.planning.scripted import a_plan
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import Plan, PlanRequest
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.ui import serve


def test_a_taken_port_is_the_users_to_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=str(port)):
            serve.serve(Settings(port=port))


@pytest.mark.parametrize("others", [{}, {"no_proxy": "intranet"}, {"NO_PROXY": "intranet"}])
def test_a_proxy_of_the_environment_does_not_catch_the_labs_own_address(
    others: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.update(others, http_proxy="http://127.0.0.1:9")
    answered: list[int] = []

    def launch(*_: object) -> None:
        with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            threading.Thread(target=server.handle_request).start()
            answered.append(httpx.get(f"http://127.0.0.1:{server.server_port}").status_code)
        httpx.get("http://192.0.2.1")  # what is not loopback goes through the proxy

    monkeypatch.setattr(serve, "Runner", lambda settings, visitor: ScriptedRunner())
    monkeypatch.setattr(serve, "launch", launch)
    with pytest.raises(UserError, match="NO_PROXY"):
        serve.serve(Settings(port=0))
    assert answered == [501]
    assert all(name in os.environ["no_proxy"] for name in others.values())
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]


def test_the_model_loads_once_the_page_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    warm = threading.Event()

    class Runner(ScriptedRunner):
        def warm_up(self) -> None:
            order.append("warm-up")
            warm.set()

    class App:
        def block_thread(self) -> None:
            order.append("serving")
            assert warm.wait(timeout=60)

    def launch(settings: Settings, runner: object, plans: object) -> tuple[App, str, None]:
        order.append("page")
        return App(), "http://127.0.0.1", None

    monkeypatch.setattr(serve, "Runner", lambda settings, visitor: Runner())
    monkeypatch.setattr(serve, "launch", launch)
    monkeypatch.setattr(PlannerProcess, "start", lambda self: None)
    serve.serve(Settings(port=0))
    assert order[0] == "page"
    assert set(order) == {"page", "warm-up", "serving"}


def test_zero_gpu_has_the_model_before_the_page_is_launched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    class Runner(ScriptedRunner):
        def place(self) -> None:
            order.append(f"placed in {threading.current_thread().name}")
            raise UserError("hub_gated", name="org/model")

        def warm_up(self) -> None:
            """Nothing to load."""

    class App:
        def block_thread(self) -> None:
            order.append("serving")

    def launch(*_: object) -> tuple[App, str, None]:
        order.append("page")
        return App(), "http://127.0.0.1", None

    monkeypatch.setattr(serve, "Runner", lambda settings, visitor: Runner())
    monkeypatch.setattr(serve, "launch", launch)
    monkeypatch.setattr(PlannerProcess, "start", lambda self: None)
    serve.serve(Settings(port=0, on_zero_gpu=True))
    assert order == ["placed in MainThread", "page", "serving"]
    assert "org/model" in capsys.readouterr().err  # and the page says it at the first run


def test_a_model_that_is_not_there_is_told_to_who_started_the_lab(capsys: pytest.CaptureFixture[str]) -> None:
    class Runner(ScriptedRunner):
        def warm_up(self) -> None:
            raise UserError("no_cuda")

    serve._warm_up(Runner(), PlannerProcess())  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.err.strip() == str(UserError("no_cuda"))
    assert said.out.startswith("ok ") and "free memory" in said.out


def test_a_model_that_does_not_fit_is_not_loaded_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    class Runner(ScriptedRunner):
        def warm_up(self) -> None:
            raise AssertionError

    class Plans(PlannerProcess):
        def plan(self, request: PlanRequest) -> Plan:
            plan = a_plan(request)
            return replace(plan, strategies=tuple(replace(s, fits_memory=False) for s in plan.strategies))

    serve._warm_up(Runner(model="org/large", has_room=MemoryBudget("cpu", 1 << 30)), Plans())  # type: ignore[arg-type]
    assert "1.00 GiB" in capsys.readouterr().err
