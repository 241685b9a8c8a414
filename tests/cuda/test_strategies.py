"""The embedded model under every strategy in both half types: answers, the error and its place, figures."""

from __future__ import annotations

import time

import pytest
import torch

from tests.cuda.conftest import CIRCLE, CIRCLE_ANSWER, ask
from tests.requests import under
from xcomposer_ui.backends import arithmetic
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import Progress

pytestmark = pytest.mark.cuda

HALVES = {"float16": "Half", "bfloat16": "BFloat16"}
REMEDIES = [name for name in STRATEGIES if name != "as_is"]
MIB = 2**20


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("strategy", REMEDIES)
def test_every_remedy_answers_rightly(backend: LocalBackend, strategy: str, half: str) -> None:
    outcome = ask(backend, CIRCLE, strategy, half)
    assert outcome.message == ""
    assert outcome.answer == CIRCLE_ANSWER


@pytest.mark.parametrize("half", HALVES)
def test_as_is_raises_the_reported_error_at_the_projector(backend: LocalBackend, half: str) -> None:
    outcome = ask(backend, CIRCLE, "as_is", half)
    assert outcome.message == f"mat1 and mat2 must have the same dtype, but got Float and {HALVES[half]}"
    assert outcome.site.module == "vision_proj.0"
    assert {operand.dtype for operand in outcome.site.operands} == {"float32", half}
    assert any(operand.name == "vision_proj.0.weight" for operand in outcome.site.operands)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_text_only_is_answered_under_every_strategy(backend: LocalBackend, strategy: str) -> None:
    outcome = ask(backend, Request("What can you do?"), strategy)
    assert outcome.message == ""
    assert outcome.answer


@pytest.mark.parametrize("strategy", REMEDIES)
def test_latency_lies_within_an_outside_clocks(backend: LocalBackend, strategy: str) -> None:
    ask(backend, CIRCLE, strategy)
    started = time.perf_counter()
    measured = ask(backend, CIRCLE, strategy).measurement
    outside = time.perf_counter() - started
    assert measured.time_to_first_token_sec is not None
    assert measured.latency_sec is not None
    assert 0 < measured.time_to_first_token_sec < measured.latency_sec < outside


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("strategy", REMEDIES)
def test_peak_memory_is_pytorchs_own_figure(strategy: str) -> None:
    backend = open_local("embedded", "cuda")
    reported = ask(backend, CIRCLE, strategy).measurement
    backend.forget()
    asked = under(CIRCLE, strategy)
    run = arithmetic.ModelRun.of(*backend.weights(asked.weights_dtype), asked)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad(), run.arithmetic():
        run.model.answer_ids(run.tokenizer, [run.prompt()], **arithmetic.sampling(asked))
    torch.cuda.synchronize()
    assert reported.peak_memory_kind == "cuda_allocated"
    assert reported.peak_memory_bytes == pytest.approx(torch.cuda.max_memory_allocated(), abs=MIB)
    backend.unload()


def test_a_batch_gives_the_answers_that_each_question_gets_alone(backend: LocalBackend) -> None:
    questions = [CIRCLE, Request("What shape is red?", CIRCLE.image), Request("Describe the image.", CIRCLE.image)]
    batch = backend.generate_batch([under(one, "full") for one in questions], Progress())
    assert batch.size == 3
    assert [o.answer for o in batch.results] == [ask(backend, q, "full").answer for q in questions]


@pytest.mark.parametrize("strategy", REMEDIES)
def test_a_conversations_next_turn_reuses_the_picture_and_answers_the_same(
    backend: LocalBackend, strategy: str
) -> None:
    backend.forget()
    first = ask(backend, CIRCLE, strategy)
    turn = Request("And what shape is it?", CIRCLE.image, ((CIRCLE.text, str(first.answer)),))
    reused = ask(backend, turn, strategy)
    assert reused.measurement.reused_picture
    assert reused.measurement.reused_tokens
    backend.forget()
    whole = ask(backend, turn, strategy)
    assert not whole.measurement.reused_picture
    assert whole.answer == reused.answer
