"""The cases that the family's original code computed in float32, on the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import xcomposer_ui.models  # noqa: F401
from xcomposer_ui.backends.arithmetic import arithmetic
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.generation import BosRepetitionPenalty

pytestmark = pytest.mark.cuda

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("name", ["vl-small-1", "vl-small-2", "hd-small-2", "hd-small-3"])
@torch.no_grad()
def test_embeddings_logits_and_greedy_ids_agree(device: str, name: str) -> None:
    expected: dict[str, Any] = json.loads((DATA / name / "expected.json").read_text())
    tensors = load_file(DATA / name / "expected.safetensors", device=device)
    model = AutoModelForCausalLM.from_pretrained(DATA / name, dtype=torch.float32).eval().to(device)
    with arithmetic(model, STRATEGIES["full"], "float16"):
        pixels = model.preprocess(DATA / name / "image.png", hd_num=expected["hd_num"])
        embeds = model.encode_image(pixels)
        inputs = model.joined_inputs(expected["token_id_parts"], [pixels])
        logits = model(**inputs).logits[0, -8:]
        ids = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=expected["max_new_tokens"],
            logits_processor=[BosRepetitionPenalty(expected["repetition_penalty"], 1)],
            eos_token_id=2,
            pad_token_id=2,
        )
    torch.testing.assert_close(embeds, tensors["image_embeds"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits, tensors["logits_tail"], atol=1e-4, rtol=0)
    assert [1, *ids[0].tolist()] == expected["greedy_ids"]
