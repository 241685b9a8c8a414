"""Decoding by a recorded step on a card: tokens, logits, stops, memory, and what was tried before it is used.

Where there is no card, the step is run plainly on the same static cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.cuda.conftest import CIRCLE, CIRCLE_ANSWER, ask
from tests.requests import under
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.graph_decoder import EAGER, GRAPH, GraphDecoder, decoder_for, plain
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import Progress

pytestmark = pytest.mark.cuda

REMEDIES = [name for name in STRATEGIES if name != "as_is"]
DESCRIBE = Request("Describe the image.", CIRCLE.image)
SAMPLED = Request("Describe the image.", CIRCLE.image, temperature=1.0, repetition_penalty=1.2, seed=5)


@pytest.fixture(scope="module")
def graph(device: str) -> Iterator[LocalBackend]:
    """The embedded model, whose steps are recorded, or run plainly where there is no card."""
    backend = open_local("embedded", device, "graph")
    if device == "cpu":
        backend.decoder = GraphDecoder(plain, "")
    yield backend
    backend.unload()


@pytest.fixture(scope="module")
def eager(device: str) -> Iterator[LocalBackend]:
    backend = open_local("embedded", device, "eager")
    yield backend
    backend.unload()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", REMEDIES)
def test_a_graph_proves_itself_and_answers_rightly(graph: LocalBackend, strategy: str, half: str) -> None:
    for _ in range(2):
        found = ask(graph, CIRCLE, strategy, half)
        assert found.measurement.decoder == GRAPH, str(found.reasons["decoder"])
        assert found.answer == CIRCLE_ANSWER


@pytest.mark.parametrize(
    "question", [DESCRIBE, SAMPLED, Request("What can you do?")], ids=["greedy", "sampled", "text"]
)
def test_tokens_in_float32_are_those_of_eager_decoding(
    graph: LocalBackend, eager: LocalBackend, question: Request
) -> None:
    expected = ask(eager, question, "full")
    assert expected.measurement.decoder == EAGER
    for _ in range(2):
        assert ask(graph, question, "full").answer == expected.answer


def logits(backend: LocalBackend, question: Request, strategy: str) -> Tensor:
    """The logits of each step, (tokens, vocabulary)."""
    seen: list[Tensor] = []
    backend.load(STRATEGIES[strategy].weights_dtype("float16"), Progress())
    model, _ = backend.weights(STRATEGIES[strategy].weights_dtype("float16"))
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _module, _inputs, output: seen.append(output[:, -1].clone()))
    try:
        ask(backend, question, strategy)
    finally:
        hook.remove()
    return torch.cat(seen)


def test_logits_in_float32_are_within_the_fidelity_bound(graph: LocalBackend, eager: LocalBackend) -> None:
    torch.testing.assert_close(logits(graph, DESCRIBE, "full"), logits(eager, DESCRIBE, "full"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("strategy", REMEDIES)
def test_a_stopped_run_leaves_the_graph_usable(graph: LocalBackend, strategy: str) -> None:
    progress, tokens = Progress(), 0
    expected = ask(graph, DESCRIBE, strategy).answer
    model, _ = graph.weights(STRATEGIES[strategy].weights_dtype("float16"))

    def count(*_: object) -> None:
        nonlocal tokens
        tokens += 1
        if tokens == 5:
            progress.stop.set()

    hook = model.get_output_embeddings().register_forward_hook(count)
    try:
        stopped = graph.generate(under(DESCRIBE, strategy), progress)
    finally:
        hook.remove()
    assert (stopped.stopped, stopped.measurement.new_tokens) == (True, 5)
    assert ask(graph, DESCRIBE, strategy).answer == expected


def test_a_batch_and_a_conversation_are_decoded_by_the_graph(graph: LocalBackend, eager: LocalBackend) -> None:
    questions = [under(one, "full") for one in (CIRCLE, DESCRIBE, Request("What can you do?"))]
    expected = [ask(eager, one, "full").answer for one in questions]
    for _ in range(2):
        batch = graph.generate_batch(questions, Progress())
        assert [one.answer for one in batch.results] == expected
        assert {one.measurement.decoder for one in batch.results} == {GRAPH}
    turn = Request("And what shape is it?", CIRCLE.image, ((CIRCLE.text, CIRCLE_ANSWER),))
    ask(graph, CIRCLE, "full")
    found = ask(graph, turn, "full")
    assert found.measurement.reused_tokens
    assert (found.answer, found.measurement.decoder) == (ask(eager, turn, "full").answer, GRAPH)


def test_an_overflow_in_float16_is_reported(graph: LocalBackend) -> None:
    stressed = under(DESCRIBE, "unified", stress_exponent=16)
    assert ask(graph, stressed, "unified").failure_type == "NonFiniteLogits"


@pytest.mark.usefixtures("card")
def test_a_failed_recording_leaves_the_card_usable(device: str) -> None:
    backend = open_local("embedded", device, "graph")
    record = backend.decoder.record
    assert record is not None

    def waits(step: Any, embeds: Tensor) -> Any:
        return record(lambda x: step(x) * float(x.isfinite().all()), embeds)  # a read on the host cannot be recorded

    backend.decoder.record = waits
    found = ask(backend, CIRCLE, "unified")
    assert (found.answer, found.measurement.decoder) == (CIRCLE_ANSWER, EAGER)
    backend.decoder = decoder_for("graph", device)
    assert ask(backend, CIRCLE, "unified").measurement.decoder == GRAPH
    backend.unload()


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("strategy", REMEDIES)
@torch.no_grad()
def test_a_prompt_is_read_without_a_wait_for_the_card(eager: LocalBackend, strategy: str) -> None:
    ask(eager, CIRCLE, strategy)
    asked = under(CIRCLE, strategy)
    run = ModelRun.of(*eager.weights(asked.weights_dtype), asked)
    with run.arithmetic():
        inputs = run.prompt()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.model(**inputs, logits_to_keep=1)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("card")
def test_graphs_are_freed_with_the_weights(device: str) -> None:
    backend = open_local("embedded", device, "graph")
    ask(backend, CIRCLE, "unified")
    assert backend.decoder.nbytes
    backend.unload()
    assert backend.decoder.nbytes == 0
