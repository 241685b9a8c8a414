"""The cases that the family's original code computed in float32, on the card."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import xcomposer_ui.models  # noqa: F401
from tests.models.original import CASES, DATA, greedy_ids
from xcomposer_ui.backends.arithmetic import without_tf32

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_embeddings_logits_and_greedy_ids_agree(device: str, name: str) -> None:
    expected: dict[str, Any] = json.loads((DATA / name / "expected.json").read_text())
    tensors = load_file(DATA / name / "expected.safetensors", device=device)
    model = AutoModelForCausalLM.from_pretrained(DATA / name, dtype=torch.float32).eval().to(device)
    with without_tf32():
        pixels = model.preprocess(DATA / name / "image.png", hd_num=expected["hd_num"])
        embeds = model.encode_image(pixels)
        inputs = model.joined_inputs(expected["token_id_parts"], [pixels])
        logits = model(**inputs).logits[0, -8:]
        ids = greedy_ids(model, inputs, expected)
    torch.testing.assert_close(embeds, tensors["image_embeds"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits, tensors["logits_tail"], atol=1e-4, rtol=0)
    assert [1, *ids] == expected["greedy_ids"]
