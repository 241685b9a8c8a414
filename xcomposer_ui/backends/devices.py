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


CONTEXT_BYTES = 512 << 20
"""The driver's context and loaded kernels: what out-of-memory messages count as the process's beyond PyTorch's own.
0.28 to 0.49 GiB in FireRedTeam/FireRedTTS2#17, pinokiofactory/flux-webui#11, 3DTopia/Phidias-Diffusion#8 and
TianheWu/CoSeR#10 (RTX 4090, A100); the most of them, rounded up."""


def room_bytes(device: str, held_bytes: int) -> int | None:
    """Memory that a run may take, its weights included, None where it cannot be told.

    held_bytes: of weights in memory, which are the run's own or make room for them. On CUDA this process's share is
    what PyTorch has reserved and the context; the figure is the driver's count, for `on_card_bytes` to fit.
    """
    free = free_bytes(device)
    if free is None:
        return None
    return free + (int(torch.cuda.memory_reserved()) + CONTEXT_BYTES if device == "cuda" else held_bytes)


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
