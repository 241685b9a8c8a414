"""Putting the page up."""

from __future__ import annotations

import socket

import pytest

from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.errors import UserError
from xcomposer_ui.settings import Settings
from xcomposer_ui.ui import serve


def test_a_taken_port_is_the_users_to_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=str(port)):
            serve.serve(Settings(port=port))


def test_the_model_loads_once_the_page_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Runner(ScriptedRunner):
        def warm_up(self) -> None:
            order.append("warm-up")

    class App:
        def block_thread(self) -> None:
            order.append("serving")

    def launch(settings: Settings, runner: object) -> tuple[App, str, None]:
        order.append("page")
        return App(), "http://127.0.0.1", None

    monkeypatch.setattr(serve, "Runner", lambda settings: Runner())
    monkeypatch.setattr(serve, "launch", launch)
    serve.serve(Settings(port=0))
    assert order[0] == "page"
    assert set(order) == {"page", "warm-up", "serving"}


def test_a_model_that_is_not_there_is_told_to_who_started_the_lab(capsys: pytest.CaptureFixture[str]) -> None:
    class Runner(ScriptedRunner):
        def warm_up(self) -> None:
            raise UserError("no_cuda")

    serve._warm_up(Runner())  # type: ignore[arg-type]
    assert capsys.readouterr().err.strip() == str(UserError("no_cuda"))
