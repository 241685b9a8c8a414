"""The tiled members' rules, each on its own; 4KHD's worked out by hand from its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import xcomposer_ui.models  # noqa: F401
from tests.checkpoints import tiny_config, tiny_model, write_checkpoint
from xcomposer_ui.models.xcomposer2.tiles import TILE_RULES, merge_neighbours, tiled_features, tiled_pixels, tiled_size
from xcomposer_ui.models.xcomposer2.vision import normalised_pixels

V25, V4KHD = TILE_RULES["2.5"], TILE_RULES["4khd"]


@pytest.mark.parametrize(
    ("size", "side", "hd_num", "rules", "expected"),
    [
        # 4KHD fills its budget: 1000x500 has ratio 2, and s·ceil(s/2) is 8·4 = 32, 10·5 = 50, 11·6 = 66.
        ((1000, 500), 336, 55, V4KHD, (10 * 336, 5 * 336)),
        # 2.5 stops at the picture's own width: ceil(1000 / 560) = 2 columns, 2·560/2 = 560 high.
        ((1000, 500), 560, 24, V25, (2 * 560, 560)),
        # A square one of 9 tiles at most: 3·3.
        ((5000, 5000), 560, 9, V25, (3 * 560, 3 * 560)),
        # One tile, whatever its size.
        ((40, 20), 336, 1, V4KHD, (336, 168)),
        # A strip: ratio 10, s·ceil(s/10) ≤ 6 gives 6 columns in one row, int(6·336/10) = 201 high.
        ((3000, 300), 336, 6, V4KHD, (6 * 336, 201)),
    ],
)
def test_sizes(size: tuple[int, int], side: int, hd_num: int, rules: Any, expected: tuple[int, int]) -> None:
    assert tiled_size(*size, side, hd_num, rules) == expected


def test_no_tile_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1 tile"):
        tiled_size(10, 10, 336, 0, V25)


def test_padding_is_white_and_at_the_bottom_or_on_both_sides() -> None:
    black = Image.new("RGB", (3000, 301))  # resized to 2016 x 202, padded by 134 rows to 336
    white = normalised_pixels(Image.new("RGB", (1, 1), "white"))[0, :, 0, 0]

    def white_rows(rules: Any) -> tuple[int, int]:
        pixels = tiled_pixels(black, 336, 6, rules)
        assert pixels.shape == (1, 3, 336, 6 * 336)
        rows = (pixels[0] == white[:, None, None]).all(0).all(1).tolist()
        return rows.index(False), rows[::-1].index(False)

    assert white_rows(V4KHD) == (67, 67)
    assert white_rows(TILE_RULES["2.5"]) == (0, 134)


def test_the_odd_row_of_padding_goes_below() -> None:
    pixels = tiled_pixels(Image.new("RGB", (3000, 300)), 336, 6, V4KHD)  # 201 rows, 135 missing
    dark = pixels[0, 0, :, 0] < 0
    assert dark.nonzero()[0] == 67
    assert dark.nonzero()[-1] == 67 + 200


def test_a_tall_picture_is_the_wide_one_turned() -> None:
    wide = Image.effect_mandelbrot((300, 120), (-3, -2.5, 2, 2.5), 50)
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    assert torch.equal(tiled_pixels(tall, 56, 12, V25), tiled_pixels(wide, 56, 12, V25).transpose(2, 3))


def test_neighbours_are_merged_in_reading_order() -> None:
    patches = torch.arange(16.0).reshape(1, 16, 1)  # 4 x 4 patches of one channel
    assert merge_neighbours(patches)[0, 0, 0].tolist() == [0, 1, 4, 5]
    assert merge_neighbours(patches)[0, 1, 0].tolist() == [8, 9, 12, 13]


def test_the_tokens_order_worked_out_by_hand() -> None:
    """A tower that says which picture and patch a feature is of: 10 · picture + patch, one channel."""
    calls: list[torch.Tensor] = []

    def tower(pictures: torch.Tensor) -> torch.Tensor:
        first = sum(len(call) for call in calls)
        calls.append(pictures)
        return torch.stack([torch.arange(4.0) + 10 * (first + n) for n in range(len(pictures))])[..., None]

    pixels = torch.arange(6.0).view(1, 1, 2, 3).repeat_interleave(28, 2).repeat_interleave(28, 3).expand(1, 3, -1, -1)
    glb_gn, sub_gn = torch.full((1, 1, 4), -1.0), torch.full((1, 1, 1, 4), -2.0)
    tokens = tiled_features(tower, pixels, 28, glb_gn, sub_gn)[0]  # type: ignore[arg-type]  # a function will do
    sub, glb = [-2.0] * 4, [-1.0] * 4

    def of(picture: int) -> list[float]:  # 2 x 2 patches are merged to one token
        return [10.0 * picture + patch for patch in range(4)]

    # The whole picture's one row, then the separator, then two rows of three tiles, in reading order.
    assert tokens.tolist() == [of(0), sub, glb, of(1), of(2), of(3), sub, of(4), of(5), of(6), sub]
    assert [float(tile.mean()) for tile in calls[0][1:]] == [0, 1, 2, 3, 4, 5]  # cut in reading order


@pytest.mark.parametrize("rules", ["2.5", "4khd"])
def test_tokens_are_the_whole_picture_a_separator_and_the_tiles(rules: str) -> None:
    model = tiny_model(tiles=rules)
    pixels = torch.zeros(1, 3, 2 * 56, 3 * 56)
    with torch.no_grad():
        embeds = model.encode_image(pixels)
    rows, columns, n = 2, 3, 2  # 4 x 4 patches a tile, merged 2 x 2
    assert embeds.shape[1] == (rows * columns + 1) * n * n + 1 + (rows + 1) * n
    assert embeds.shape[1] == model.config.image_tokens(rows, columns)


def test_weights_tell_a_tiled_member_and_its_side(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tiny_model(tiles="2.5"))
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"tiles": "2.5"', '"tiles": null').replace(": 56", ": 490"))
    assert "plora_glb_GN" in load_file(tmp_path / "model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (model.config.tiles, model.config.tower_side) == ("2.5", 56)


def test_a_tower_of_336_pixels_is_4khds(tmp_path: Path) -> None:
    vision = {**tiny_config().vision_config.to_dict(), "image_size": 336}
    write_checkpoint(tmp_path, tiny_model(tiles="4khd", vision_config=vision))
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"tiles": "4khd"', '"tiles": null'))
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.tiles == "4khd"


def test_prompts_of_tiled_members(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = tiny_model(tiles="2.5")
    bos, start = tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids("[UNUSED_TOKEN_146]")
    alone = model.prompt_parts(tokenizer, "hi", [], "", 1)
    assert alone[0] == [bos]
    assert alone[1][0] == start
    marked = model.prompt_parts(tokenizer, "a <ImageHere> b <ImageHere>", [("c", "d")], "", 2)
    assert [part.count(bos) for part in marked] == [1, 0, 0]
    picture = Image.new("RGB", (400, 400))
    many = model.prompt_inputs(tokenizer, "<ImageHere><ImageHere>", [picture, picture], hd_num=20)
    assert many["im_mask"].sum() == 2 * model.config.image_tokens(2, 2)  # at most 6 tiles each


def test_pictures_in_the_history_keep_their_place(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = tiny_model(tiles="2.5")
    picture = Image.new("RGB", (50, 50))
    history = [("<ImageHere>first", "one"), ("<ImageHere>second", "two")]
    mask = model.prompt_inputs(tokenizer, "and now?", [picture, picture], history)["im_mask"][0].int()
    assert (mask.diff() == 1).sum() == 2
