"""A picture, sessions and forms for the page's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from PIL import Image

from tests.planning.scripted import ScriptedPlans
from tests.ui.scripted import ScriptedRunner
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.serve import launch
from xcomposer_ui.ui.session import Form


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """The path of a small red picture."""
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return str(path)


@pytest.fixture
def form(picture: str) -> Form:
    """A question about the picture, under autocast."""
    return Form("What color is it?", picture, "autocast")


@pytest.fixture
def runner() -> ScriptedRunner:
    """A runner that answers at once, and fails under as_is."""
    return ScriptedRunner()


@pytest.fixture(scope="module")
def connected() -> Iterator[Callable[[Runner | ScriptedRunner], Client]]:
    """Serve the page with a runner, and connect a client to it."""
    apps = []

    def connect(runner: Runner | ScriptedRunner) -> Client:
        app, address, _ = launch(Settings(port=0), runner, ScriptedPlans())  # type: ignore[arg-type]  # the double has its interface
        apps.append(app)
        return Client(address, verbose=False)

    yield connect
    for app in apps:
        app.close()
