"""Machines that are only described."""

from __future__ import annotations

from xcomposer_ui.planning.hardware import Facts, Gpu

GOOD = {
    "Python": "3.11.7",
    "PyTorch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "gradio": "6.31.0",
    "accelerate": "1.5",
    "sentencepiece": "0.2.3",
}
A100 = Gpu("A100", (8, 0), 80 << 30, 79 << 30, "560.1", ("sm_80", "sm_90"))


def facts(**changes: object) -> Facts:
    described = {
        "versions": GOOD,
        "processor": "x86_64",
        "cpu_flags": frozenset({"avx2"}),
        "free_bytes": 16 << 30,
    }
    return Facts(**{**described, **changes})  # type: ignore[arg-type]
