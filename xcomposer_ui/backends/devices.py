"""Which device, and why; and how much memory is free there."""

from __future__ import annotations

import torch

from xcomposer_ui.errors import UserError


def choose_device(asked: str) -> tuple[str, str]:
    """("cpu" or "cuda", reason) for "auto", "cpu" or "cuda".

    Raises UserError where "cuda" was asked for and none is there.
    """
    if asked == "cpu":
        return "cpu", "you asked for it"
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return "cuda", f"{name} is there" if asked == "auto" else "you asked for it"
    if asked == "cuda":
        raise UserError("no_cuda")
    return "cpu", "no CUDA device was found"


def free_bytes(device: str) -> int | None:
    """Memory that new tensors on `device` may take, None where it cannot be told."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as info:
            available = next(line for line in info if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(available.split()[1]) * 1024
