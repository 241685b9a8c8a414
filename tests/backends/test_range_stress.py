"""Runs with a stressed range on the embedded model: float16 leaves its range, bfloat16 and float32 do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.silent_failures import NON_FINITE
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.ui.examples import examples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (EMBEDDED_PATH / "config.json").is_file(), reason="the embedded model is not here"),
]


@pytest.fixture(scope="module")
def backend() -> LocalBackend:
    return open_local("embedded", "cpu")


(EXAMPLE,) = (example for example in examples() if example.stress_exponent)
CROWD = Request(
    EXAMPLE.question,
    open_picture(EXAMPLE.picture),
    strategy="unified",
    half="float16",
    model="embedded",
    max_new_tokens=40,
)


def answered(backend: LocalBackend, request: Request) -> CallResult:
    backend.load(request.weights_dtype, Progress())
    return backend.generate(request, Progress())


def test_float16_overflows_and_the_card_says_where(backend: LocalBackend) -> None:
    result = answered(backend, replace(CROWD, stress_exponent=10))
    assert result.failure_type == NON_FINITE
    assert (result.site.module or "").startswith("model.layers.")


def test_float16_loses_digits_and_answers_the_example_otherwise(backend: LocalBackend) -> None:
    usual = answered(backend, CROWD).answer
    assert usual and answered(backend, replace(CROWD, stress_exponent=EXAMPLE.stress_exponent)).answer not in (
        None,
        usual,
    )
    assert answered(backend, CROWD).answer == usual  # nothing of it stays


@pytest.mark.parametrize(("strategy", "half"), [("unified", "bfloat16"), ("autocast", "bfloat16"), ("full", "float16")])
@pytest.mark.parametrize("exponent", [-24, 10])
def test_a_wider_range_answers_as_before(backend: LocalBackend, strategy: str, half: str, exponent: int) -> None:
    request = replace(CROWD, strategy=strategy, half=half)
    usual = answered(backend, request).answer
    assert usual and answered(backend, replace(request, stress_exponent=exponent)).answer == usual
