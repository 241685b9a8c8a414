"""Hub ids: what goes wrong on the way becomes a sentence. Nothing here asks the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from huggingface_hub import errors as hub_errors
from transformers import AutoConfig

from tests.checkpoints import tiny_model, write_checkpoint
from xcomposer_ui.backends import checkpoint
from xcomposer_ui.errors import UserError

HUB_ID = "internlm/internlm-xcomposer2-vl-7b"
ROOT = Path(__file__).parents[2]


def refusal(kind: type[hub_errors.HfHubHTTPError], status: int) -> hub_errors.HfHubHTTPError:
    return kind("refused", response=httpx.Response(status, request=httpx.Request("GET", "https://example.org")))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal(hub_errors.GatedRepoError, 403), "hub_refused"),
        (refusal(hub_errors.RepositoryNotFoundError, 404), "hub_refused"),
        (OSError("We couldn't connect to 'https://huggingface.co'"), "hub_out_of_reach"),
        (ValueError("no such tensor"), "broken_checkpoint"),
    ],
)
def test_what_the_hub_says_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, code: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(UserError) as caught:
        checkpoint.load(HUB_ID, "float16", "cpu", lambda _: None)
    assert caught.value.code == code
    assert HUB_ID in str(caught.value)


def test_loading_reports_how_far_it_is(tmp_path: Path) -> None:
    fractions: list[float] = []
    checkpoint.load(str(write_checkpoint(tmp_path)), "bfloat16", "cpu", fractions.append)
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)


def test_half_weights_never_pass_through_a_float32_copy_and_the_file_leaves_no_pages(tmp_path: Path) -> None:
    """A checkpoint of 75 million float16 weights, 150 MB, loaded as bfloat16 in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's memory")
    model = tiny_model(hidden_size=512, intermediate_size=2048, num_hidden_layers=16, plora_rank=16).half()
    size = sum(p.numel() for p in model.parameters()) * 2
    assert size > 120e6
    write_checkpoint(tmp_path, model)
    script = f"""
import re
from xcomposer_ui.backends import checkpoint
def told(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = told("VmRSS")
loaded = checkpoint.load({str(tmp_path)!r}, "bfloat16", "cpu", lambda _: None)
print(told("VmHWM") - before)
"""
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert int(told.split()[-1]) < 1.35 * size  # what libraries take beside the weights is some 30 MB
