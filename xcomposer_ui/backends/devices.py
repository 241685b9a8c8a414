"""The choice of the device and of the CPU's threads, with reasons; free memory, synchronisation, freeing of memory."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Message

MOST_THREADS = torch.get_num_threads()
"""PyTorch's own choice: the processor's cores, or OMP_NUM_THREADS."""

SPEEDUP = 1.5
"""How many times faster all threads must be than one. A thread that waits for another one, which has no processor at
the moment, costs more on a busy machine than a second thread saves on a quiet one: see tests/benchmarks/threads.py."""

PREFILL_TOKENS = 64
DECODE_STEPS = 8
REPEATS = 3


def choose_device(requested: str) -> tuple[str, Message]:
    """("cpu", "cuda" or "mps", reason) for "auto" or one of them.

    "auto" is never Apple's GPU, because peak memory cannot be measured on it.
    Raises UserError if the requested GPU is not available.
    """
    chosen = Message("reason.chosen")
    if requested == "cpu":
        return "cpu", chosen
    if requested == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("no_mps" if torch.backends.mps.is_built() else "no_mps_build")
        return "mps", chosen
    if torch.cuda.is_available():
        found = Message("reason.device.found", name=torch.cuda.get_device_name(0))
        return "cuda", found if requested == "auto" else chosen
    if requested == "cuda":
        raise UserError("no_cuda")
    return "cpu", Message(
        "reason.device.no_cuda_but_mps" if torch.backends.mps.is_available() else "reason.device.no_cuda"
    )


CONTEXT_BYTES = 512 << 20
"""The driver's context and loaded kernels: what out-of-memory messages count as the process's beyond PyTorch's own.
0.28 to 0.49 GiB in FireRedTeam/FireRedTTS2#17, pinokiofactory/flux-webui#11, 3DTopia/Phidias-Diffusion#8 and
TianheWu/CoSeR#10 (RTX 4090, A100); the most of them, rounded up."""


def budget_bytes(device: str, loaded_bytes: int) -> int | None:
    """Memory that a run may use, its weights included; None if unknown.

    loaded_bytes: weights in memory, which the run uses or which are unloaded for it. On a GPU they are part of what
    PyTorch has from the driver. On CUDA the figure is comparable with `on_card_bytes`, the driver's count: it includes
    what PyTorch has reserved and the context.
    """
    free = free_bytes(device)
    if free is None:
        return None
    if device == "cuda":
        return free + int(torch.cuda.memory_reserved()) + CONTEXT_BYTES
    return free + (int(torch.mps.driver_allocated_memory()) if device == "mps" else loaded_bytes)


def free_bytes(device: str) -> int | None:
    """Memory that new tensors on `device` may use; None if unknown."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = _free_memory()
    if device != "mps" or free is None:
        return free
    # Apple's GPU takes its memory from the system's, up to a share that Metal recommends.
    share = int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    return max(0, min(free, share))


def _free_memory() -> int | None:
    """Memory that is available to processes without swapping; None if unknown."""
    try:
        return int(psutil.virtual_memory().available)
    except (psutil.Error, OSError, RuntimeError, NotImplementedError):
        return None


def synchronize(device_type: str) -> None:
    """Wait until the device has finished all queued work; the CPU has no queue."""
    if device_type != "cpu":
        torch.get_device_module(device_type).synchronize()


def free_unused(device_type: str) -> None:
    """Collect reference cycles left by a failed or stopped run, and return PyTorch's cached memory to the device."""
    gc.collect()
    if device_type != "cpu":
        torch.get_device_module(device_type).empty_cache()


def exempt_from_collection() -> None:
    """Let garbage collections leave alone what is in memory now: modules and models, which stay.

    Looking through them took 0.4 to 0.9 s at each stopped or failed run, and nothing else could run meanwhile.
    """
    gc.freeze()


def free_models(device_type: str) -> None:
    """Free what models that were just dropped leave behind, `exempt_from_collection` or not."""
    gc.unfreeze()
    free_unused(device_type)
    gc.freeze()


def choose_threads(model: Any, *, small: bool, clock: Callable[[], float] = time.perf_counter) -> Message:
    """Set the number of threads for `model`, whose weights are on the CPU; returns the reason, with the number.

    A small model is timed with one thread and with all of them, which takes about a second; any other gets all.
    """
    if MOST_THREADS == 1 or "OMP_NUM_THREADS" in os.environ:
        return Message("reason.threads.given", threads=MOST_THREADS)
    if not small:
        torch.set_num_threads(MOST_THREADS)
        return Message("reason.threads.large", threads=MOST_THREADS)
    rounds = [(_step_sec(model, 1, clock), _step_sec(model, MOST_THREADS, clock)) for _ in range(REPEATS)]
    one, all_of_them = (min(times) for times in zip(*rounds, strict=True))  # the least disturbed of each
    threads = MOST_THREADS if one > SPEEDUP * all_of_them else 1
    torch.set_num_threads(threads)
    return Message("reason.threads.measured", threads=threads, most=MOST_THREADS, ratio=f"{one / all_of_them:.2f}")


@torch.no_grad()
def _step_sec(model: Any, threads: int, clock: Callable[[], float]) -> float:
    """Seconds for a short prefill and a few decoding steps, without a KV cache."""
    torch.set_num_threads(threads)
    ids = torch.zeros(1, PREFILL_TOKENS, dtype=torch.long)
    started = clock()
    model(input_ids=ids, logits_to_keep=1)
    for _ in range(DECODE_STEPS):
        model(input_ids=ids[:, :1])
    return clock() - started
