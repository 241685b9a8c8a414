"""Checkpoints save and load under the published names and layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
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


def test_labels_give_the_loss_as_in_any_language_model() -> None:
    model = tiny_model()
    ids = torch.tensor([[1, 5, 6, 7]])
    labels = torch.tensor([[-100, 5, 6, 7]])
    found = model(input_ids=ids, labels=labels)
    expected = torch.nn.functional.cross_entropy(found.logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(found.loss, expected)
    assert model(input_ids=ids).loss is None


def test_a_missing_tensor_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["vision_proj.0.bias"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 tensor .* vision_proj\.0\.bias"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_extra_tensors_are_skipped_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors |= {"video_mem_proj.weight": torch.zeros(2), "model.layers.0.ffn.extra": torch.zeros(3)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    capfd.readouterr()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.float32
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["skipped 2 tensors of the checkpoint that this model does not use"]
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_misshapen_tensors_are_an_error_that_names_them(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["vision_proj.2.bias"] = torch.zeros(7)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"vision_proj\.2\.bias is \(7,\) and should be \(32,\)"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


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


def test_a_model_spread_over_memory_and_disk_answers_the_same(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = write_checkpoint(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    picture = Image.radial_gradient("L").convert("RGB")
    whole = AutoModelForCausalLM.from_pretrained(folder)
    spread = AutoModelForCausalLM.from_pretrained(
        folder,
        device_map={"vit": "disk", "vision_proj": "cpu", "model": "cpu", "output": "disk"},
        offload_folder=str(tmp_path / "offloaded"),
    )
    how = {"do_sample": False, "max_new_tokens": 6}
    assert spread.chat(tokenizer, "What?", picture, **how) == whole.chat(tokenizer, "What?", picture, **how)
    automatic = AutoModelForCausalLM.from_pretrained(folder, device_map="auto")
    assert automatic.chat(tokenizer, "What?", picture, **how) == whole.chat(tokenizer, "What?", picture, **how)


def test_every_layout_loads_the_same_weights(tmp_path: Path) -> None:
    one = write_checkpoint(tmp_path / "one file, with spaces.and.dots", tiny_model(tiles="2.5"))
    shards = write_checkpoint(tmp_path / "shards", tiny_model(tiles="2.5"), max_shard_size="100KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    bins = _as_bin(one, tmp_path / "bin")
    sharded_bins = _as_bin(shards, tmp_path / "sharded bin")
    expected = tiny_model(tiles="2.5").state_dict()
    for folder in (one, shards, bins, sharded_bins):
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model.config.tiles == "2.5"
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def _as_bin(source: Path, folder: Path) -> Path:
    """The checkpoint at `source` in PyTorch's own files, as older ones are published; config.json says no tiles."""
    write_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    config = json.loads((source / "config.json").read_text())
    del config["tiles"]
    (folder / "config.json").write_text(json.dumps(config))
    renamed = {}
    for file in source.glob("*.safetensors"):
        renamed[file.name] = file.name.replace("model", "pytorch_model").replace(".safetensors", ".bin")
        torch.save(load_file(file), folder / renamed[file.name])
    for index in source.glob("*.index.json"):
        table = json.loads(index.read_text())
        table["weight_map"] = {name: renamed[file] for name, file in table["weight_map"].items()}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(table))
    return folder


def test_a_bin_file_that_is_more_than_weights_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": print}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        AutoModelForCausalLM.from_pretrained(folder)
