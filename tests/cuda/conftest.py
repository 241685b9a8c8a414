"""What holds on a card. Where there is none, `CUDA_TESTS_DEVICE=cpu` runs what a CPU can show of the same tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import CallResult, Progress

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
CPU_IS_ASKED_FOR = os.environ.get("CUDA_TESTS_DEVICE") == "cpu"


@pytest.fixture(scope="session")
def device() -> str:
    """Where the tests run: "cuda", or "cpu" where that was asked for."""
    if CPU_IS_ASKED_FOR:
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device; CUDA_TESTS_DEVICE=cpu runs what a CPU can show of this")
    return "cuda"


@pytest.fixture
def card(device: str) -> None:
    """For tests that a CPU cannot show anything of."""
    if device != "cuda":
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="module")
def backend(device: str) -> Iterator[LocalBackend]:
    """The embedded model, nothing loaded yet."""
    backend = open_local("embedded", device)
    yield backend
    backend.unload()


def example(file: str, text: str, **settings: int) -> Question:
    """A question about one of the example pictures."""
    return Question(text, open_picture(str(EXAMPLES / file)), **settings)


CIRCLE = example("trio.png", "What color is the circle?")
CIRCLE_ANSWER = "The circle is red."


def ask(backend: LocalBackend, question: Question, strategy: str, half: str = "float16") -> CallResult:
    """One measured call, its weights loaded before."""
    chosen = STRATEGIES[strategy]
    backend.load(chosen.weights_dtype(half), Progress())
    return backend.answer(question, chosen, half, Progress())
