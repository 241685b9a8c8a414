"""Several questions at once on the real backend: the answers they get alone, halved where memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from PIL import Image

from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.errors import out_of_memory
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import CallResult, Progress

PICTURES = [Image.radial_gradient("L").convert("RGB"), Image.linear_gradient("L").convert("RGB"), None]
QUESTIONS = [
    Request(text, picture, max_new_tokens=9)
    for text, picture in zip(("What is there?", "And here, in this longer question?", "Hello"), PICTURES, strict=True)
]
FULL = STRATEGIES["full"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def backend(checkpoint: Path) -> LocalBackend:
    backend = open_local(str(checkpoint), "cpu")
    for dtype in ("float16", "float32"):
        backend.load(dtype, Progress())
    return backend


def outcome_alone(backend: LocalBackend, question: Request, strategy: str) -> CallResult:
    return backend.generate(under(question, strategy), Progress())


def test_answers_and_counts_are_those_of_one_by_one(backend: LocalBackend) -> None:
    batch = backend.generate_batch([under(one, "full") for one in QUESTIONS], Progress())
    assert batch.size == len(batch.results) == 3
    for question, outcome in zip(QUESTIONS, batch.results, strict=True):
        alone = outcome_alone(backend, question, "full")
        assert outcome.answer == alone.answer
        m, expected = outcome.measurement, alone.measurement
        assert (m.prompt_tokens, m.new_tokens) == (expected.prompt_tokens, expected.new_tokens)
        assert (m.batch_size, expected.batch_size) == (3, 1)
        assert 0 < m.time_to_first_token_sec <= m.latency_sec  # type: ignore[operator]
        assert m.peak_memory_bytes > m.weights_bytes  # type: ignore[operator]


@pytest.mark.parametrize("strategy", ["autocast", "unified"])
def test_half_weights_answer_too(backend: LocalBackend, strategy: str) -> None:
    batch = backend.generate_batch([under(one, strategy) for one in QUESTIONS], Progress())
    assert [outcome.failure_type for outcome in batch.results] == [None] * 3


def test_under_a_failing_strategy_each_question_has_its_own_end(backend: LocalBackend) -> None:
    batch = backend.generate_batch([under(one, "as_is") for one in QUESTIONS], Progress())
    assert [outcome.failure_type for outcome in batch.results] == ["RuntimeError", "RuntimeError", None]
    assert batch.results[0].site.module == "vision_proj.0"
    assert batch.results[2].answer == outcome_alone(backend, QUESTIONS[2], "as_is").answer
    assert batch.size == 3  # nothing was too large


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("std::bad_alloc")])
def test_what_does_not_fit_is_halved(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    model, _ = backend.weights("float32")
    whole, asked = model.answer_ids, []

    def small(tokenizer: Any, rows: list[Any], **how: Any) -> Any:
        asked.append(len(rows))
        if len(rows) > 2:
            raise error
        return whole(tokenizer, rows, **how)

    monkeypatch.setattr(model, "answer_ids", small)
    batch = backend.generate_batch([under(one, "full") for one in [*QUESTIONS, *QUESTIONS]], Progress())
    assert asked == [6, 3, 1]
    assert batch.size == len(batch.results) == 1
    assert batch.results[0].answer == outcome_alone(backend, QUESTIONS[0], "full").answer


def test_one_that_does_not_fit_alone_is_a_failure(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = backend.weights("float32")

    def none(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(model, "answer_ids", none)
    batch = backend.generate_batch([under(one, "full") for one in QUESTIONS], Progress())
    assert [outcome.failure_type for outcome in batch.results] == ["OutOfMemoryError"]
    assert batch.size == 1


def test_an_answer_that_is_not_finite_costs_its_own_row_alone(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = backend.weights("float32")
    encode, calls = model.encode_image, []

    def broken(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        embeds = encode(pixels)
        return embeds * float("nan") if pixels.mean() == dark else embeds

    dark = model.preprocess(PICTURES[1]).mean()
    monkeypatch.setattr(model, "encode_image", broken)
    batch = backend.generate_batch([under(one, "full") for one in QUESTIONS], Progress())
    assert [outcome.failure_type for outcome in batch.results] == [None, "NonFiniteLogits", None]


def test_a_stop_ends_a_batch_without_outcomes(backend: LocalBackend) -> None:
    progress = Progress()
    progress.stop.set()
    assert backend.generate_batch([under(one, "full") for one in QUESTIONS], progress).results == ()


def test_the_allocators_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.int8)
    assert out_of_memory("RuntimeError", str(caught.value))
    assert not out_of_memory("RuntimeError", "mat1 and mat2 must have the same dtype, but got Float and Half")


@pytest.mark.slow
def test_a_real_shortage_halves_the_batch(backend: LocalBackend) -> None:
    """The address space is bounded for a moment, so that the allocator itself refuses."""
    resource = pytest.importorskip("resource", reason="this system bounds no process's memory")
    if not psutil.LINUX:
        pytest.skip("this system does not bound a process's address space")
    long = Request("word " * 700, PICTURES[0], max_new_tokens=2)
    first = backend.generate_batch([under(one, "full") for one in [long]], Progress())
    backend.generate_batch(
        [under(one, "full") for one in [long] * 2], Progress()
    )  # what is allocated once is there by now
    used = psutil.Process().memory_info().vms
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), before[1]))
    try:
        batch = backend.generate_batch([under(one, "full") for one in [long] * 64], Progress())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert 1 <= batch.size == len(batch.results) < 64
    assert batch.results[0].answer == first.results[0].answer
