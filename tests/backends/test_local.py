"""The real backend on a small checkpoint: every strategy on both half types, stopping, broken checkpoints."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import CallResult, Progress

PICTURE = Image.radial_gradient("L").convert("RGB")
ASK = Request("What is there?", PICTURE, max_new_tokens=6)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("check.point of mine"))


@pytest.fixture(scope="module")
def backend(checkpoint: Path) -> LocalBackend:
    return open_local(str(checkpoint), "cpu")


def ask(backend: LocalBackend, strategy: str, half: str = "float16", question: Request = ASK) -> CallResult:
    chosen = STRATEGIES[strategy]
    backend.load(chosen.weights_dtype(half), Progress())
    return backend.generate(under(question, chosen.name, half), Progress())


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", ["autocast", "unified", "full"])
def test_the_remedies_answer_and_are_measured(backend: LocalBackend, strategy: str, half: str) -> None:
    outcome = ask(backend, strategy, half)
    assert outcome.failure_type is None
    m = outcome.measurement
    assert 0 < m.time_to_first_token_sec < m.latency_sec  # type: ignore[operator]
    assert m.tokens_per_sec > 0  # type: ignore[operator]
    assert 1 < m.new_tokens <= 6  # type: ignore[operator]
    assert m.prompt_tokens > 16  # type: ignore[operator]
    assert m.peak_memory_kind == "cpu_tensors"


@pytest.mark.parametrize(("half", "spelt"), [("float16", "Half"), ("bfloat16", "BFloat16")])
def test_as_is_fails_in_the_model_and_says_where(backend: LocalBackend, half: str, spelt: str) -> None:
    outcome = ask(backend, "as_is", half)
    assert outcome.failure_type == "RuntimeError"
    assert outcome.message == f"mat1 and mat2 must have the same dtype, but got Float and {spelt}"
    assert outcome.answer is None
    assert outcome.measurement.latency_sec is None
    assert "Traceback" in outcome.traceback
    assert 'File "torch/nn/modules/linear.py"' in outcome.traceback
    assert 'File "xcomposer_ui/models/xcomposer2/modeling.py"' in outcome.traceback
    assert 'File "/' not in outcome.traceback
    site = outcome.site
    assert (site.module, site.operation) == ("vision_proj.0", "aten.addmm")
    assert {o.dtype for o in site.operands} == {"float32", half}
    assert any(o.name == "vision_proj.0.weight" and o.dtype == half for o in site.operands)
    assert any(o.dtype == "float32" and "vit" in str(o.origin) for o in site.operands)


def test_a_prompt_that_the_model_cannot_read_whole_is_refused(backend: LocalBackend, monkeypatch: Any) -> None:
    backend.load("float16", Progress())
    config = backend.weights("float16")[0].config
    longest = config.max_prompt_tokens
    for question in (ASK, replace(ASK, image=None)):
        monkeypatch.setattr(config, "max_prompt_tokens", longest)
        tokens = ask(backend, "unified", question=question).measurement.prompt_tokens
        monkeypatch.setattr(config, "max_prompt_tokens", tokens)
        assert ask(backend, "unified", question=question).answer is not None
        monkeypatch.setattr(config, "max_prompt_tokens", tokens - 1)
        for refused in (backend.generate, backend.trace_dtypes):
            with pytest.raises(UserError) as raised:
                refused(under(question, "unified", "float16"), Progress())
            assert (raised.value.code, raised.value.facts) == ("long_prompt", {"tokens": tokens, "longest": tokens - 1})


def test_float32_weights_take_twice_the_bytes(backend: LocalBackend) -> None:
    half, full = (ask(backend, name).measurement.peak_memory_bytes for name in ("unified", "full"))
    assert full > 1.8 * half  # type: ignore[operator]


def test_weights_are_loaded_once_a_dtype(checkpoint: Path) -> None:
    backend = open_local(str(checkpoint), "cpu")
    assert backend.load("float16", Progress()) > 0  # type: ignore[operator]
    assert backend.load("float16", Progress()) is None
    assert backend.loaded() == ("float16",)


def test_one_seed_gives_one_answer_and_text_only_is_answered(backend: LocalBackend) -> None:
    sampled = Request("Say something.", None, max_new_tokens=20, temperature=1.5, top_p=1.0, seed=3)
    answers = {ask(backend, "unified", question=sampled).answer for _ in range(3)}
    assert len(answers) == 1


def test_stopping_frees_the_model(backend: LocalBackend) -> None:
    backend.load("float32", Progress())
    progress, outcomes, begun = Progress(), [], threading.Event()
    endless = Request("Go on.", PICTURE, max_new_tokens=4000, repetition_penalty=5.0)
    worker = threading.Thread(target=lambda: outcomes.append(backend.generate(under(endless, "full"), progress)))
    hook = backend.weights("float32")[0].register_forward_hook(lambda *_: begun.set())
    worker.start()
    begun.wait()
    progress.stop.set()
    worker.join()
    hook.remove()
    assert outcomes[0].stopped
    assert (outcomes[0].measurement.new_tokens or 0) < 4000
    assert ask(backend, "full").answer == ask(backend, "full").answer


def test_a_stop_before_the_first_token_ends_the_prefill(backend: LocalBackend) -> None:
    progress = Progress()
    progress.stop.set()
    backend.load("float32", Progress())
    outcome = backend.generate(under(ASK, "full"), progress)
    assert outcome.stopped
    assert outcome.measurement.new_tokens is None


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.model", "model.safetensors"])
def test_a_checkpoint_that_lacks_a_file_is_named(checkpoint: Path, tmp_path: Path, lost: str) -> None:
    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    (broken / lost).unlink()
    with pytest.raises(UserError) as caught:
        open_local(str(broken), "cpu")
    assert caught.value.code == "incomplete_checkpoint"
    assert lost in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("cut", ["config.json", "model.safetensors"])
def test_a_checkpoint_that_is_cut_off_is_named(checkpoint: Path, tmp_path: Path, cut: str) -> None:
    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    whole = (broken / cut).read_bytes()
    (broken / cut).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as caught:
        open_local(str(broken), "cpu")
    assert caught.value.code == "cut_off_file"
    assert str(tmp_path) not in str(caught.value)


def in_pytorchs_own_file(checkpoint: Path, folder: Path, tensors: object = None) -> Path:
    """`checkpoint` with its weights (or `tensors`) in a pytorch_model.bin."""
    copied = Path(shutil.copytree(checkpoint, folder))
    torch.save(load_file(copied / "model.safetensors") if tensors is None else tensors, copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    return copied


def test_a_bin_file_that_is_cut_off_is_named(checkpoint: Path, tmp_path: Path) -> None:
    broken = in_pytorchs_own_file(checkpoint, tmp_path / "bin")
    open_local(str(broken), "cpu").load("float16", Progress())
    whole = (broken / "pytorch_model.bin").read_bytes()
    (broken / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"pytorch_model\.bin") as caught:
        open_local(str(broken), "cpu")
    assert caught.value.code == "cut_off_file"


def test_a_bin_file_that_would_run_something_is_refused_in_a_sentence(checkpoint: Path, tmp_path: Path) -> None:
    broken = in_pytorchs_own_file(checkpoint, tmp_path / "bin", {"weight": print})
    with pytest.raises(UserError) as caught:
        open_local(str(broken), "cpu").load("float16", Progress())
    assert caught.value.code == "more_than_weights"


@pytest.mark.parametrize("table", [{}, [], {"weight_map": {"a": 1}}])
def test_an_index_that_names_no_files_is_named(checkpoint: Path, tmp_path: Path, table: object) -> None:
    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    (broken / "model.safetensors.index.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json") as caught:
        open_local(str(broken), "cpu")
    assert caught.value.code == "cut_off_file"


def test_another_familys_checkpoint_is_refused_before_it_is_built(checkpoint: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(checkpoint, tmp_path / "other"))
    # Left to itself the library makes such a model at its usual size, of random numbers: 27 GB.
    (other / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="llama") as caught:
        open_local(str(other), "cpu").load("float16", Progress())
    assert caught.value.code == "other_family"


def test_a_cut_off_tokenizer_or_wrong_sizes_are_a_sentence_too(checkpoint: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    (broken / "tokenizer.model").write_bytes(b"\x00\x01")
    with pytest.raises(UserError, match="broken"):
        open_local(str(broken), "cpu").load("float16", Progress())
    misshapen = Path(shutil.copytree(checkpoint, tmp_path / "misshapen"))
    config = json.loads((misshapen / "config.json").read_text())
    (misshapen / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    with pytest.raises(UserError) as caught:
        open_local(str(misshapen), "cpu").load("float16", Progress())
    assert caught.value.code == "broken_checkpoint"
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "a/b/c", "~/nothing-here", ""])
def test_a_model_that_does_not_exist_is_a_sentence(name: str) -> None:
    with pytest.raises(UserError) as caught:
        open_local(name, "cpu")
    assert caught.value.code == "no_such_model"
