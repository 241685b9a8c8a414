"""The vision of the tiled members: a picture resized and padded to whole tiles, merged features, separators.

Two members differ in their rules: 2.5 never enlarges past the picture's own width and pads at the bottom; 4KHD fills
its budget whatever the picture's size and pads half above, half below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2.vision import VisionTower, normalised_pixels

WHITE = (255, 255, 255)
TILES_AT_ONCE = 16
"""Tiles per call of the tower; more need more memory for activations, with the same result."""


@dataclass(frozen=True)
class TileRules:
    """The tiling rules of a member.

    bounded: whether the picture is never enlarged beyond its own width. centred: whether padding is half above, half
    below, instead of below. hd_num: the default of the most tiles of one picture.
    """

    bounded: bool
    centred: bool
    hd_num: int


TILE_RULES = {
    "2.5": TileRules(bounded=True, centred=False, hd_num=24),
    "4khd": TileRules(bounded=False, centred=True, hd_num=55),
}
HD_NUM_OF_MANY = 6
"""The most tiles of each picture in a prompt with several."""


def tiled_size(width: int, height: int, side: int, hd_num: int, rules: TileRules) -> tuple[int, int]:
    """(width, height) in pixels that a picture at least as wide as high is resized to, before padding.

    The width is the largest whole number of tiles with which at most `hd_num` tiles cover the picture.
    Raises ValueError where hd_num is below 1.
    """
    if hd_num < 1:
        raise ValueError(f"hd_num is {hd_num}; a picture takes at least 1 tile")
    ratio = width / height
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= hd_num:
        columns += 1
    if rules.bounded:
        columns = min(columns, math.ceil(width / side))
    return columns * side, max(1, int(columns * side / ratio))


def tiled_pixels(image: Image.Image, side: int, hd_num: int, rules: TileRules) -> Tensor:
    """(1, 3, H, W) float32 with H and W multiples of `side`: resized, padded with white, normalised, not yet cut."""
    image = image.convert("RGB")
    taller = image.height > image.width
    if taller:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    size = tiled_size(image.width, image.height, side, hd_num, rules)
    image = image.resize(size, Image.Resampling.BILINEAR)
    missing = -size[1] % side
    padded = Image.new("RGB", (size[0], size[1] + missing), WHITE)
    padded.paste(image, (0, missing // 2 if rules.centred else 0))
    if taller:
        padded = padded.transpose(Image.Transpose.TRANSPOSE)
    return normalised_pixels(padded)


def tiled_features(tower: VisionTower, pixels: Tensor, side: int, glb_gn: Tensor, sub_gn: Tensor) -> Tensor:
    """(1, 3, rows·side, columns·side) to (1, tokens, 4C): the whole picture's rows, `glb_gn`, the tiles' rows.

    Every row ends with `sub_gn` (1, 1, 1, 4C). Half as many rows and columns as patches: 2×2 neighbours are merged.
    """
    rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
    whole = F.interpolate(pixels.float(), size=(side, side), mode="bicubic").to(pixels.dtype)
    tiles = pixels.unflatten(3, (columns, side)).unflatten(2, (rows, side))  # (1, 3, rows, side, columns, side)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (tiles, 3, side, side), in reading order
    features = torch.cat([tower(part) for part in torch.cat((whole, tiles)).split(TILES_AT_ONCE)])
    merged = merge_neighbours(features)  # (1 + tiles, n, n, 4C)
    grid = merged[1:].unflatten(0, (rows, columns)).transpose(1, 2)  # (rows, n, columns, n, 4C)
    grid = grid.flatten(2, 3).flatten(0, 1)  # (rows·n, columns·n, 4C)
    return torch.cat((_with_separators(merged[0], sub_gn), glb_gn, _with_separators(grid, sub_gn)), dim=1)


def merge_neighbours(features: Tensor) -> Tensor:
    """(N, s², C) patches to (N, s/2, s/2, 4C): (2i+a, 2j+b) goes to (i, j), channel block a·2+b."""
    side = math.isqrt(features.shape[1])
    blocks = features.unflatten(1, (side // 2, 2, side // 2, 2))  # (N, i, a, j, b, C)
    return blocks.transpose(2, 3).flatten(3)


def _with_separators(grid: Tensor, sub_gn: Tensor) -> Tensor:
    """(rows, columns, 4C) to (1, rows·(columns + 1), 4C)."""
    separators = sub_gn[0].expand(grid.shape[0], 1, -1)
    return torch.cat((grid, separators), dim=1).flatten(0, 1)[None]
