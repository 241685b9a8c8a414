"""Peak memory of the host while a checkpoint of several gigabytes loads, against its weights in the dtype asked for.

The checkpoint has random float16 weights and is made in a temporary folder. Each load is a process of its own; its
peak is the operating system's (VmHWM), less what the process had before, pages of the mapped file counted.

    python -m tests.benchmarks.loading [--layers N] [--width N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.measure import report
from tests.checkpoints import write_checkpoint
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM

ROOT = Path(__file__).parents[2]
SCRIPT = """
import re, sys, time
from pathlib import Path
import torch
from xcomposer_ui.backends import checkpoint
def told(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before, started = told("VmRSS"), time.perf_counter()
model, _ = checkpoint.load(Path(sys.argv[1]), sys.argv[2], "cpu", lambda _: None, "model")
took, weights = time.perf_counter() - started, sum(p.numel() * p.element_size() for p in model.parameters())
print(told("VmHWM") - before, weights, took)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--width", type=int, default=2048)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), _model(chosen.width, chosen.layers), max_shard_size="2GB")
        for dtype in ("float16", "bfloat16", "float32"):
            _measure(folder, dtype)


def _measure(folder: str, dtype: str) -> None:
    command = [sys.executable, "-c", SCRIPT, folder, dtype]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    peak, weights, took = int(told[-3]), int(told[-2]), float(told[-1])
    report(
        f"loading float16 weights as {dtype}",
        [
            ("weights", f"{weights / 2**30:.2f} GiB"),
            ("peak of the process, less what it had", f"{peak / 2**30:.2f} GiB"),
            ("ratio", f"{peak / weights:.3f}"),
            ("time", f"{took:.1f} s"),
        ],
        {"weights_bytes": weights, "peak_bytes": peak, "ratio": peak / weights, "load_sec": took},
    )


def _model(width: int, layers: int) -> InternLMXComposer2ForCausalLM:
    """Random float16 weights, made without a float32 copy."""
    config = InternLMXComposer2Config(
        vocab_size=32000,
        hidden_size=width,
        intermediate_size=width * 4,
        num_hidden_layers=layers,
        num_attention_heads=width // 128,
        num_key_value_heads=max(1, width // 256),
        img_size=224,
        plora_rank=64,
        plora_alpha=64,
        architectures=["InternLMXComposer2ForCausalLM"],
    )
    with torch.device("meta"):
        model = InternLMXComposer2ForCausalLM(config).half()
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.02, 0.02)
    return model


if __name__ == "__main__":
    main()
