"""The scaled copy of the embedded model: only what is added between blocks, by a power of two, losing nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.lesson.scaled_model import ADDING, WEIGHTS, write_scaled


def test_a_power_of_two_is_exact_and_touches_nothing_else(tmp_path: Path) -> None:
    write_scaled(tmp_path, 12)
    before, after = load_file(EMBEDDED_PATH / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert before.keys() == after.keys()
    for name, value in before.items():
        factor = 4096 if ADDING.fullmatch(name) else 1
        assert after[name].dtype == value.dtype
        assert np.array_equal(after[name], value * factor), name
        assert np.array_equal(after[name] / factor, value), name


def test_every_block_is_scaled_and_the_whole_folder_is_there(tmp_path: Path) -> None:
    write_scaled(tmp_path, 1)
    scaled = [name for name in load_file(tmp_path / WEIGHTS) if ADDING.fullmatch(name)]
    blocks = {name.split(".")[2] for name in scaled if ".layers." in name}
    assert len(blocks) == 4 and len(scaled) == 3 + 4 * len(blocks)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in EMBEDDED_PATH.iterdir()}
