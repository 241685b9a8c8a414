"""The number of threads that PyTorch computes a model with on the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from xcomposer_ui.core.messages import Message

MOST_THREADS = torch.get_num_threads()
"""PyTorch's own choice: the processor's cores, or OMP_NUM_THREADS."""

SPEEDUP = 1.5
"""How many times faster all threads must be than one. A thread that waits for another one, which has no processor at
the moment, costs more on a busy machine than a second thread saves on a quiet one: see tests/benchmarks/threads.py."""

PREFILL_TOKENS = 64
DECODE_STEPS = 8
REPEATS = 3


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
