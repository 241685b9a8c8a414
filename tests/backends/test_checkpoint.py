"""Loading: how far it is, what it takes, and what goes wrong as a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig

from tests.checkpoints import tiny_model, write_checkpoint
from xcomposer_ui.backends import checkpoint
from xcomposer_ui.core.errors import UserError

ROOT = Path(__file__).parents[2]


def test_what_the_library_cannot_load_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError(f"no such tensor in {tmp_path}/model")

    folder = write_checkpoint(tmp_path / "model")
    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(UserError) as caught:
        checkpoint.load(folder, "float16", "cpu", lambda _: None, "model")
    assert caught.value.code == "broken_checkpoint"
    assert str(tmp_path) not in str(caught.value)


def test_loading_reports_how_far_it_is(tmp_path: Path) -> None:
    fractions: list[float] = []
    checkpoint.load(write_checkpoint(tmp_path), "bfloat16", "cpu", fractions.append, "model")
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)


@pytest.mark.slow
def test_half_weights_never_pass_through_a_float32_copy_and_the_file_leaves_no_pages(tmp_path: Path) -> None:
    """A checkpoint of 75 million float16 weights, 150 MB, loaded as bfloat16 in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell the most memory that a process had")
    model = tiny_model(hidden_size=512, intermediate_size=2048, num_hidden_layers=16, plora_rank=16).half()
    size = sum(p.numel() for p in model.parameters()) * 2
    assert size > 120e6
    write_checkpoint(tmp_path, model)
    script = f"""
import re
from pathlib import Path
from xcomposer_ui.backends import checkpoint
def told(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = told("VmRSS")
loaded = checkpoint.load(Path({str(tmp_path)!r}), "bfloat16", "cpu", lambda _: None, "model")
print(told("VmHWM") - before)
"""
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert int(told.split()[-1]) < 1.35 * size  # what libraries take beside the weights is some 30 MB
