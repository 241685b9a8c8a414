"""A member of the published 1.8B's shape with random weights: every strategy, a stop, memory against its prediction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.checkpoints import tiny_config, write_checkpoint
from tests.cuda.conftest import ask
from tests.requests import under
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.planning.calibration import error_of_run
from xcomposer_ui.core.families.xcomposer2 import PUBLISHED
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM
from xcomposer_ui.runtime.backend import CallResult, Progress

pytestmark = pytest.mark.cuda

PICTURE = Image.radial_gradient("L").convert("RGB")
ASK = Request("What is there?", PICTURE, max_new_tokens=24)
REMEDIES = [name for name in STRATEGIES if name != "as_is"]
MIB = 2**20

UNPREDICTED_BYTES = 192 * MIB
"""What cuBLAS and cuBLASLt take from PyTorch's allocator on a card, of which a prediction knows a part."""


def config_for(device: str) -> InternLMXComposer2Config:
    """The published 1.8B member's sizes, its vocabulary aside (a tokenizer of 320 pieces is made here); else tiny."""
    if device == "cpu":
        return tiny_config()
    return InternLMXComposer2Config(
        **PUBLISHED["internlm/internlm-xcomposer2-vl-1_8b"],
        vocab_size=320,
        meta_instruction="",
        architectures=["InternLMXComposer2ForCausalLM"],
    )


@pytest.fixture(scope="module")
def backend(device: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBackend]:
    torch.manual_seed(0)
    with torch.device(device):
        model = InternLMXComposer2ForCausalLM(config_for(device)).to(torch.float16).eval()
    folder = write_checkpoint(tmp_path_factory.mktemp("1_8b"), model)
    del model
    backend = open_local(str(folder), device)
    yield backend
    backend.unload()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", REMEDIES)
def test_every_remedy_comes_to_its_end(backend: LocalBackend, strategy: str, half: str) -> None:
    outcome = ask(backend, ASK, strategy, half)
    # Random weights may say one thing over and over; a clash or a kernel's refusal would be something else.
    assert outcome.failure_type in (None, "RepeatedToken", "EmptyAnswer"), outcome.message
    assert outcome.measurement.new_tokens


def test_a_stop_ends_the_run_within_a_few_tokens(backend: LocalBackend) -> None:
    progress, outcomes = Progress(), list[CallResult]()
    endless = Request("Go on.", PICTURE, max_new_tokens=2000, repetition_penalty=5.0)
    backend.load("float32", progress)
    counted = threading.Event()
    tokens = 0

    def count(*_: object) -> None:
        nonlocal tokens
        tokens += 1
        if tokens == 10:
            progress.stop.set()
            counted.set()

    model, _ = backend.weights("float32")
    hook = model.get_output_embeddings().register_forward_hook(count)
    try:
        worker = threading.Thread(target=lambda: outcomes.append(backend.generate(under(endless, "full"), progress)))
        worker.start()
        worker.join()
    finally:
        hook.remove()
    assert counted.is_set()
    assert outcomes[0].stopped
    assert outcomes[0].measurement.new_tokens is not None
    assert outcomes[0].measurement.new_tokens <= 12
    assert ask(backend, ASK, "full").measurement.new_tokens  # the model is free again


@pytest.mark.parametrize("picture", [PICTURE, None], ids=["picture", "text"])
@pytest.mark.parametrize("strategy", REMEDIES)
def test_memory_is_as_predicted(backend: LocalBackend, device: str, strategy: str, picture: Image.Image | None) -> None:
    backend.forget()
    question = Request(ASK.text, picture, max_new_tokens=24)
    measured = ask(backend, question, strategy).measurement
    pair = error_of_run(config_for(device), device, under(question, strategy), measured)
    assert pair is not None
    print(f"{strategy}: predicted {pair.predicted_bytes:,}, measured {pair.measured_bytes:,}, {pair.error:+.3%}")
    predicted = pair.predicted_bytes
    if device == "cpu" and picture is not None:
        # Pixels are made in two float32 copies, which a plan leaves out: beside a model this tiny they can be the peak.
        assert measured.weights_bytes is not None
        pixels = backend.weights("float32" if strategy == "full" else "float16")[0].preprocess(picture)
        predicted = max(predicted, measured.weights_bytes + 2 * pixels.nbytes)
    unpredicted = UNPREDICTED_BYTES if device == "cuda" else 0.001 * pair.measured_bytes
    assert -unpredicted <= predicted - pair.measured_bytes <= 0.003 * pair.measured_bytes


@pytest.mark.usefixtures("card")
def test_running_out_of_memory_is_a_result_and_the_next_run_is_right(backend: LocalBackend) -> None:
    expected = ask(backend, ASK, "unified").answer
    backend.forget()
    torch.cuda.empty_cache()
    held = []
    size = torch.cuda.mem_get_info()[0]
    while size > MIB:  # what is free, to the last MiB
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    failed = ask(backend, ASK, "unified")
    del held
    torch.cuda.empty_cache()
    assert failed.failure_type == "OutOfMemoryError"
    assert "CUDA out of memory" in failed.message
    assert ask(backend, ASK, "unified").answer == expected


def test_the_checkpoint_is_in_the_published_layout(backend: LocalBackend) -> None:
    assert (Path(backend.model) / "config.json").is_file()
