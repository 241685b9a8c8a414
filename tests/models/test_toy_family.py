"""The promise of `models.base`: a family in one file is loaded, answers, is explained, compared, traced and planned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM

import xcomposer_ui.models
from tests.models.toy_family import TOY, ToyConfig, ToyForCausalLM, ToyTokenizer
from tests.requests import under
from xcomposer_ui.backends.lint import lint
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.planning.calibration import error_of_run
from xcomposer_ui.backends.planning.configuration import configuration_of
from xcomposer_ui.backends.planning.planner import plan
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.planning.catalogue import entry_of, tiled
from xcomposer_ui.planning.plan import PlanRequest
from xcomposer_ui.runtime.backend import Progress
from xcomposer_ui.tracing.dtype_path import LOGITS, TEXT, TOWER, path

PICTURE = Image.radial_gradient("L").convert("RGB")
QUESTION = Request("What is there?", PICTURE, max_new_tokens=6)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("toy")
    xcomposer_ui.models.register(TOY)
    torch.manual_seed(3)
    ToyForCausalLM(ToyConfig()).eval().save_pretrained(folder)
    ToyTokenizer().save_pretrained(folder)
    yield folder
    xcomposer_ui.models.unregister(TOY)


@pytest.fixture(scope="module")
def backend(checkpoint: Path) -> LocalBackend:
    backend = open_local(str(checkpoint), "cpu")
    for dtype in ("float32", "float16", "bfloat16"):
        backend.load(dtype, Progress())
    return backend


def test_it_loads_by_transformers_auto_classes(checkpoint: Path) -> None:
    assert isinstance(AutoModelForCausalLM.from_pretrained(checkpoint), ToyForCausalLM)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", ["autocast", "unified", "full"])
def test_it_answers_under_every_strategy_that_casts(backend: LocalBackend, strategy: str, half: str) -> None:
    result = backend.generate(under(QUESTION, strategy, half), Progress())
    assert result.failure_type is None, result.message
    assert result.answer
    assert result.measurement.prompt_tokens == 1 + 4 + len(QUESTION.text)
    assert result.measurement.peak_memory_bytes
    assert result.timeline is not None
    assert {sample.phase for sample in result.timeline.samples} >= {"tower", "prefill", "decode"}


def test_as_is_fails_by_its_own_clash_and_is_explained(backend: LocalBackend) -> None:
    result = backend.generate(under(QUESTION, "as_is"), Progress())
    assert result.failure_type == "RuntimeError"
    assert (result.site.module, result.site.operation) == ("eye.patches", "aten.conv2d")
    explanation = explain(f"{result.failure_type}: {result.message}", device="cpu")
    assert explanation.recognised
    assert {fix.strategy for fix in explanation.fixes if fix.cures} >= {"unified", "full"}


def test_a_conversation_a_batch_and_text_alone_answer_too(backend: LocalBackend) -> None:
    history = (("Where?", "Here."),)
    texts = ("What?", "What is there?")
    alone = [under(Request(text, PICTURE, history, max_new_tokens=5), "full") for text in texts]
    answers = [backend.generate(request, Progress()).answer for request in alone]
    together = backend.generate_batch(alone, Progress())
    assert [outcome.answer for outcome in together.results] == answers
    assert together.size == 2
    assert backend.generate(under(Request("What?", max_new_tokens=4), "full"), Progress()).answer


def test_it_is_compared_with_full_precision(backend: LocalBackend) -> None:
    found = backend.measure_divergence(QUESTION, [(s, "float16") for s in STRATEGIES], Progress())
    assert [entry.strategy for entry in found.entries] == ["autocast", "unified"]
    assert list(found.failures) == ["as_is/float16"]
    assert found.floor is not None
    assert {layer.module for layer in found.entries[0].layers if layer.is_block} >= {"eye.layers.0", "layers.1"}


def test_it_is_traced_by_its_own_stages(backend: LocalBackend) -> None:
    flow = backend.trace_dtypes(under(QUESTION, "unified", max_new_tokens=2), Progress())
    assert flow.error is None
    named = {step.stage: step.name for step in path(flow) if step.level == 0}
    assert (named[TOWER], named[TEXT], named[LOGITS]) == ("eye", "words", "head")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["autocast", "unified", "full"])
def test_it_is_planned_as_it_runs(checkpoint: Path, backend: LocalBackend, strategy: str) -> None:
    planned = plan(PlanRequest(str(checkpoint), PICTURE.size, device="cpu", prompt_tokens=16, new_tokens=6))
    assert [s.strategy for s in planned.strategies if s.fails_in] == ["as_is"]
    assert planned.image_tokens == 4
    assert planned.parameters == backend.weights("float32")[0].num_parameters()
    for _ in range(2):  # kernels keep what they allocate in their first call
        measured = backend.generate(under(QUESTION, strategy), Progress()).measurement
    pair = error_of_run(configuration_of(str(checkpoint)), "cpu", under(QUESTION, strategy), measured)
    assert pair is not None
    assert abs(pair.error) < 0.02, pair


def test_it_is_linted(checkpoint: Path) -> None:
    found = lint(str(checkpoint), ["float16"])
    assert {case.strategy for case in found.cases if not case.clean} == {"as_is"}


def test_the_page_knows_its_tokens_sizes_and_tiles(checkpoint: Path) -> None:
    entry = entry_of(str(checkpoint))
    assert entry.parameters == sum(p.numel() for p in ToyForCausalLM(ToyConfig()).parameters())
    assert entry.cache_bytes
    assert tiled(str(checkpoint)) is False
    assert configuration_of("somebody/toy").layer_counts() == {"tower": 2, "language": 2}
    with pytest.raises(UserError) as caught:
        Request("a</s>b")
    assert caught.value.code == "control_token"


def test_tiles_are_refused(backend: LocalBackend) -> None:
    with pytest.raises(UserError) as caught:
        backend.generate(under(Request("What?", PICTURE, hd_num=2), "full"), Progress())
    assert caught.value.code == "no_tiles"
