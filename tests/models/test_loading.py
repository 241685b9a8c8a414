"""Checkpoints save and load under the published names and layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import xcomposer_ui.models  # noqa: F401
from tests.checkpoints import tiny_model, write_checkpoint

DATA = Path(__file__).parent.parent / "data"


def test_saved_names_are_the_published_ones(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    published = set(load_file(DATA / "vl-small-1" / "model.safetensors"))
    saved = set(load_file(tmp_path / "model.safetensors"))
    assert saved == {name for name in published if ".2." not in name or name.startswith("vision_proj")}


def test_a_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(DATA / "vl-small-1")
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert {**again.to_dict(), "_name_or_path": ""} == {**config.to_dict(), "_name_or_path": ""}
    assert (again.rope_base, again.rope_dynamic_factor, again.max_prompt_tokens) == (1e6, 1.0, 4096)


def test_a_missing_tensor_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["vision_proj.0.bias"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 tensors .* vision_proj\.0\.bias"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_an_extra_tensor_is_skipped(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors") | {"video_mem_proj.weight": torch.zeros(2)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.float32


def test_a_config_of_type_internlm2_loads_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "internlm2"}))
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.hidden_size == 32


def test_another_architectures_internlm2_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    changes = {"model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match="InternLM2ForCausalLM"):
        AutoConfig.from_pretrained(tmp_path)


def test_the_tokenizer_keeps_spaces_bytes_and_turn_tokens(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("  two  spaces ", "图中 😀", "[UNUSED_TOKEN_146]user\nhi", ""):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_come_in_the_dtype_asked_for(tmp_path: Path, dtype: torch.dtype) -> None:
    write_checkpoint(tmp_path, tiny_model().half())
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
