"""The native model against cases that the family's original code computed in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import xcomposer_ui.models  # noqa: F401
from tests.models.original import CASES, DATA, greedy_ids

ORIGINAL_TOKENIZER = Path(__file__).parents[3] / "shared" / "fidelity" / "tokenizer"


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    folder = DATA / request.param
    expected = json.loads((folder / "expected.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    pixels = model.preprocess(folder / "image.png", hd_num=expected["hd_num"])
    with torch.no_grad():
        inputs = model.joined_inputs(expected["token_id_parts"], [pixels])
    tensors = load_file(folder / "expected.safetensors")
    return {"model": model, "pixels": pixels, "inputs": inputs, "json": expected, **tensors}


def test_pixels_agree(case: dict[str, Any]) -> None:
    torch.testing.assert_close(case["pixels"][:, :, ::35, ::35], case["pixel_values_every_35th"], atol=1e-6, rtol=0)
    assert abs(case["pixels"].double().mean() - case["pixel_values_mean"]) < 1e-6


def test_image_embeddings_agree(case: dict[str, Any]) -> None:
    with torch.no_grad():
        embeds = case["model"].encode_image(case["pixels"])
    torch.testing.assert_close(embeds, case["image_embeds"], atol=1e-4, rtol=0)


def test_image_mask_agrees(case: dict[str, Any]) -> None:
    assert torch.equal(case["inputs"]["im_mask"], case["im_mask"].bool())


def test_logits_agree(case: dict[str, Any]) -> None:
    with torch.no_grad():
        logits = case["model"](**case["inputs"]).logits[0, -8:]
    torch.testing.assert_close(logits, case["logits_tail"], atol=1e-4, rtol=0)


def test_greedy_ids_agree(case: dict[str, Any]) -> None:
    expected = case["json"]
    assert [1, *greedy_ids(case["model"], case["inputs"], expected)] == expected["greedy_ids"]


@pytest.mark.skipif(not ORIGINAL_TOKENIZER.is_dir(), reason="the original tokenizer is not part of this repository")
def test_tokenizer_agrees_on_every_string() -> None:
    tokenizer = AutoTokenizer.from_pretrained(ORIGINAL_TOKENIZER)
    cases = json.loads((ORIGINAL_TOKENIZER / "expected.json").read_text())
    assert len(cases) == 17
    for one in cases:
        assert tokenizer(one["text"]).input_ids == one["ids"], one["text"]
        assert tokenizer(one["text"], add_special_tokens=False).input_ids == one["ids_without_bos"], one["text"]
        assert tokenizer.decode(one["ids"], skip_special_tokens=True) == one["decoded"]
