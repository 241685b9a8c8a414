"""Runs, batches, comparisons, traces and fine-tuning keep to the card where the model is; see `tests.emulated_card`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from tests.emulated_card import emulated_card
from tests.requests import under
from xcomposer_ui.backends import checkpoint
from xcomposer_ui.backends.finetuning import execution
from xcomposer_ui.backends.graph_decoder import EAGER, GRAPH, GraphDecoder, plain
from xcomposer_ui.backends.local import LocalBackend
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import ASSETS, EMBEDDED, EMBEDDED_PATH
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.runtime.backend import Progress

TRIO = Image.open(ASSETS / "examples" / "trio.png").convert("RGB")
CIRCLE = Request("What color is the circle?", TRIO, max_new_tokens=12)
CIRCLE_ANSWER = "The circle is red."
OTHERS = [
    Request("And the square?", TRIO, ((CIRCLE.text, CIRCLE_ANSWER),), max_new_tokens=12),
    Request("What can you do?", None, max_new_tokens=6, temperature=1.0, repetition_penalty=1.2),
]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with emulated_card(monkeypatch):
        yield


def loaded(dtype: str) -> tuple[Any, Any]:
    """The embedded model in `dtype` on the card, and its tokenizer."""
    model, tokenizer = checkpoint.load(EMBEDDED_PATH, "float32", "cpu", lambda fraction: None, EMBEDDED)
    return model.to(getattr(torch, dtype)).to("cuda"), tokenizer


@pytest.fixture(params=[EAGER, GRAPH])
def backend(card: None, request: pytest.FixtureRequest) -> LocalBackend:
    decoder = GraphDecoder(plain if request.param == GRAPH else None, "", checks_memory=False)
    backend = LocalBackend(EMBEDDED, "cuda", {}, decoder)
    for dtype in ("float32", "float16"):
        backend._models[dtype], backend._tokenizer = loaded(dtype)
    return backend


def test_the_emulation_tells_the_host_from_the_card(card: None) -> None:
    there, here = torch.ones(3).to("cuda"), torch.ones(3)
    assert (there.device.type, here.device.type, (there * 2)[0].device.type) == ("cuda", "cpu", "cuda")
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(RuntimeError, match="pin"):
        there.pin_memory()
    assert torch.equal((there + here.to(there)).cpu(), torch.full((3,), 2.0))


@pytest.mark.parametrize("strategy", ["unified", "full"])
@torch.no_grad()
def test_runs_answer_there(backend: LocalBackend, strategy: str) -> None:
    found = backend.generate(under(CIRCLE, strategy, stress_exponent=8), Progress())
    assert (found.answer, found.failure_type) == (CIRCLE_ANSWER, None)
    assert found.measurement.decoder == (EAGER if backend.decoder.record is None else GRAPH)
    for question in OTHERS:
        assert backend.generate(under(question, strategy), Progress()).failure_type in (None, "RepeatedToken")
    batch = backend.generate_batch([under(CIRCLE, strategy), under(CIRCLE, strategy)], Progress())
    assert [(one.answer, one.measurement.batch_size) for one in batch.results] == [(CIRCLE_ANSWER, 2)] * 2


@torch.no_grad()
def test_comparisons_and_traces_do_too(backend: LocalBackend) -> None:
    found = backend.measure_divergence(under(CIRCLE, "full"), [("unified", "float16")], Progress())
    assert ([entry.strategy for entry in found.entries], dict(found.failures)) == (["unified"], {})
    assert found.floor is not None
    flow = backend.trace_dtypes(under(CIRCLE, "as_is", max_new_tokens=2), Progress())
    assert flow.clash is not None and flow.clash.module == "vision_proj.0"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["float32", "bfloat16_master"])
def test_fine_tuning_does_too(card: None, monkeypatch: pytest.MonkeyPatch, recipe: str) -> None:
    monkeypatch.setattr(execution, "_start_of", lambda device: loaded("float32")[0])
    monkeypatch.setattr(execution, "choose_device", lambda device: ("cuda", ""))
    *_, last = execution.finetuning_steps(FinetuningRequest(recipes=(recipe,), steps=3), "cuda")
    (result,) = last.recipes
    assert result.failure is None
    assert result.finished and len(result.losses) == 3 and len(result.probes) == 2
    assert result.accuracy_after is not None
