"""The models offered: sizes from headers and configurations, counted right, and nothing loaded or asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.checkpoints import tiny_model, write_checkpoint
from xcomposer_ui.core.families.xcomposer2 import cache_bytes, parameters
from xcomposer_ui.core.strategies import FULL_WEIGHTS, HALF_WEIGHTS
from xcomposer_ui.planning.catalogue import TEXT_TOKENS, Entry, entry_of, tiled


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tiles": "2.5"},
        {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 3, "plora_rank": 5, "vocab_size": 330},
        {"vision_config": {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 70}},
    ],
)
def test_parameters_are_counted_from_the_configuration_and_from_the_headers(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = tiny_model(**changes)
    folder = write_checkpoint(tmp_path / "a folder.with dots", model, max_shard_size="100KB")
    config = json.loads((folder / "config.json").read_text())
    expected = model.num_parameters()
    assert parameters(config, tiled=bool(changes.get("tiles"))) == expected
    entry = entry_of(str(folder))
    assert entry.parameters == expected
    assert entry.is_local
    assert entry.disk_bytes == sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def test_tensors_that_are_not_loaded_do_not_count(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_checkpoint(tmp_path)
    expected = entry_of(str(folder)).parameters
    tensors = load_file(folder / "model.safetensors") | {"video_mem_proj.weight": torch.zeros(1000)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert entry_of(str(folder)).parameters == expected


def test_pickled_weights_are_counted_from_the_configuration(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    entry = entry_of(str(folder))
    assert entry.parameters == tiny_model().num_parameters()
    assert entry.disk_bytes == (folder / "pytorch_model.bin").stat().st_size


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("internlm/internlm-xcomposer2-vl-7b", 8.67),
        ("internlm/internlm-xcomposer2d5-7b", 8.68),
        ("internlm/internlm-xcomposer2-vl-1_8b", 2.45),
    ],
)
def test_a_published_model_is_known_without_a_download(name: str, billions: float) -> None:
    entry = entry_of(name)
    assert not entry.is_local
    assert entry.disk_bytes is None
    assert entry.parameters == pytest.approx(billions * 1e9, rel=1e-3)


def test_what_is_needed_depends_on_how_weights_are_held() -> None:
    entry = Entry("a", is_local=True, parameters=1_000_000_000, cache_bytes=100_000_000)
    assert entry.needed_bytes(HALF_WEIGHTS) == 2_100_000_000
    assert entry.needed_bytes(FULL_WEIGHTS) == 4_200_000_000
    assert Entry("a", is_local=True).needed_bytes(HALF_WEIGHTS) is None


def test_the_cache_is_what_the_model_keeps() -> None:
    model = tiny_model()
    tokens = model.config.image_tokens() + 512
    one = 2 * model.config.num_hidden_layers * model.config.num_key_value_heads * model.config.head_dim * 2
    assert cache_bytes(model.config.to_dict(), False, TEXT_TOKENS) == one * tokens


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "someone/never-heard-of"])
def test_what_is_not_here_is_unknown_and_not_guessed(name: str) -> None:
    assert entry_of(name) == Entry(name, is_local=False)


def test_whether_a_model_tiles_is_told_by_its_weights_or_not_at_all(tmp_path: Path) -> None:
    folders = {kind: write_checkpoint(tmp_path / str(kind), tiny_model(tiles=kind)) for kind in (None, "2.5")}
    assert tiled(str(folders[None])) is False
    assert tiled(str(folders["2.5"])) is True
    config = json.loads((folders["2.5"] / "config.json").read_text())
    (folders["2.5"] / "config.json").write_text(json.dumps(config | {"tiles": None}))  # as published
    assert tiled(str(folders["2.5"])) is True
    (folders[None] / "model.safetensors").rename(folders[None] / "pytorch_model.bin")
    assert tiled(str(folders[None])) is None


def test_a_download_in_its_middle_does_not_tell_that_nothing_tiles(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, tiny_model(), max_shard_size="100KB")
    assert tiled(str(folder)) is False
    max(folder.glob("*.safetensors")).unlink()
    assert tiled(str(folder)) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("internlm/internlm-xcomposer2-vl-7b", False), ("internlm/internlm-xcomposer2-4khd-7b", True),
        ("embedded", False), ("someone/never-heard-of", None),
    ],
)  # fmt: skip
def test_published_and_unknown_models_are_told_without_a_download(name: str, expected: bool | None) -> None:
    assert tiled(name) is expected


def test_a_broken_header_is_no_figure(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert entry_of(str(folder)).parameters == tiny_model().num_parameters()  # by the configuration
    (folder / "config.json").write_text("[")
    assert entry_of(str(folder)).parameters is None
