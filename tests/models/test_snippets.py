"""The published snippets, word for word, on a small checkpoint: one raises the error, three answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

import xcomposer_ui.models  # noqa: F401
from tests.checkpoints import write_checkpoint

device_type = "cpu"
text = "What is in the picture?"


@pytest.fixture(scope="module")
def ckpt_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def image_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.radial_gradient("L").convert("RGB").save(path)
    return str(path)


@pytest.mark.parametrize(("half", "spelt"), [(torch.float16, "Half"), (torch.bfloat16, "BFloat16")])
def test_half_weights_and_a_float32_picture_raise_the_error(
    ckpt_path: Path, image_path: str, half: torch.dtype, spelt: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ckpt_path)
    model = AutoModelForCausalLM.from_pretrained(ckpt_path, torch_dtype=half)
    with pytest.raises(RuntimeError) as caught:
        response, history = model.chat(query=text, image=image_path, tokenizer=tokenizer, history=[])  # noqa: RUF059
    assert str(caught.value) == f"mat1 and mat2 must have the same dtype, but got Float and {spelt}"


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_the_remedies_answer(ckpt_path: Path, image_path: str, half: torch.dtype) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ckpt_path)
    model = AutoModelForCausalLM.from_pretrained(ckpt_path, torch_dtype=half)
    with torch.autocast(device_type, half), torch.no_grad():
        response, history = model.chat(query=text, image=image_path, tokenizer=tokenizer, history=[], max_new_tokens=5)
    assert history == [(text, response)]
    image = model.preprocess(image_path).to(half)
    response, history = model.chat(query=text, image=image, tokenizer=tokenizer, history=[], max_new_tokens=5)
    assert history == [(text, response)]


def test_full_precision_answers(ckpt_path: Path, image_path: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ckpt_path)
    model = AutoModelForCausalLM.from_pretrained(ckpt_path, torch_dtype=torch.float32)
    response, history = model.chat(query=text, image=image_path, tokenizer=tokenizer, history=[], max_new_tokens=5)
    assert history == [(text, response)]


def test_auto_model_and_dtype_work_as_well(ckpt_path: Path) -> None:
    model = AutoModel.from_pretrained(ckpt_path, dtype=torch.bfloat16)
    assert type(model).__name__ == "InternLMXComposer2ForCausalLM"
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
